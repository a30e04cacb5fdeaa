// `kubiya execution cancel`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { refuseFailedControl } from '../../control.ts';
import { jsonFlag } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'cancel an execution' },
  scope: 'api',
  details:
    'Asks for the end and returns: the running tool and its processes are stopped by the worker. `exec attach` waits for it.',
  examples: [['kubiya execution cancel $ID && kubiya exec attach $ID', 'cancel and wait until it has ended']],
  args: { execution: { type: 'positional', description: 'id of the execution' }, json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    const answer = await client.cancelExecution(args.execution);
    refuseFailedControl(answer, { id: args.execution, done: 'cancelled', code: 'not_cancelled' });
    if (args.json) return await output.printJson(answer);
    await output.note(output.stderr.foreign(answer.message ?? 'the execution is being cancelled'));
  },
});
