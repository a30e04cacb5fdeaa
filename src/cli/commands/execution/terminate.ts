// `kubiya execution terminate`.
import { terminateReasonCharactersMax } from '../../../protocol/control-plane.ts';
import { defineCommand } from '../../command.ts';
import { mayDo } from '../../confirm.ts';
import { connect } from '../../connect.ts';
import { refuseFailedControl } from '../../control.ts';
import { jsonFlag, usage } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'end an execution that does not end by itself' },
  scope: 'api',
  details:
    'Its workflow is not asked, so it also ends one that is stuck. Prefer `execution cancel`: it lets the agent finish its turn in order.',
  examples: [
    ['kubiya execution terminate $ID', 'asks first'],
    ['kubiya execution terminate $ID --reason "older version" --yes', 'for scripts'],
  ],
  args: {
    execution: { type: 'positional', description: 'id of the execution' },
    reason: { type: 'text', valueName: 'text', description: 'kept with the execution' },
    yes: { type: 'switch', alias: 'y', description: 'do not ask' },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig }) => {
    const { execution: id, reason } = args;
    if ((reason?.length ?? 0) > terminateReasonCharactersMax)
      throw usage(`--reason takes at most ${terminateReasonCharactersMax} characters`, 'flag_invalid');
    const client = await connect(await loadConfig());
    const { prompt, status } = await client.getExecution(id);
    const question = `Terminate the execution ${id} (${status.toLowerCase()}: ${output.stderr.foreign(prompt.slice(0, 60))})?`;
    if (!(await mayDo(output, { doing: 'terminating an execution', question, isYes: args.yes })))
      return await output.note('nothing was done');
    const answer = await client.terminateExecution(id, { reason });
    refuseFailedControl(answer, { id, done: 'terminated', code: 'not_terminated' });
    if (args.json) return await output.printJson(answer);
    await output.note('the execution was terminated');
  },
});
