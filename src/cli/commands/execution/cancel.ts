// `kubiya execution cancel`.
import { KubiyaError } from '../../../errors.ts';
import { defineCommand, jsonFlag } from '../../command.ts';
import { connect } from '../../connect.ts';

export default defineCommand({
  scope: 'api',
  details:
    'Asks for the end and returns: the running tool and its processes are stopped by the worker. `exec attach` waits for it.',
  examples: [['kubiya execution cancel $ID && kubiya exec attach $ID', 'cancel and wait until it has ended']],
  flags: { json: jsonFlag },
  arguments: { execution: { description: 'id of the execution' } },
  run: async ({ flags, arguments: { execution } }, { output, loadConfig }) => {
    const client = await connect(await loadConfig());
    const answer = await client.cancelExecution(execution);
    if (!answer.success) {
      throw new KubiyaError(answer.error ?? `the execution ${execution} could not be cancelled`, {
        kind: 'api_refused',
        code: 'not_cancelled',
        hint: `\`kubiya execution get ${execution}\` shows its state`,
      });
    }
    if (flags.json) return await output.printJson(answer);
    await output.note(answer.message ?? 'the execution is being cancelled');
  },
});
