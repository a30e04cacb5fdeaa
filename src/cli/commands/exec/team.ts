// `kubiya exec team <id|name> "<prompt>"`: the named team.
import { defineCommand } from '../../command.ts';
import { displayFlags, startFlags } from '../../exec/flags.ts';
import { runExec } from '../../exec/run-exec.ts';

export default defineCommand({
  meta: { description: 'run a prompt with a team' },
  scope: 'exec',
  details:
    'What its members do is shown under their names. Exit code: 0 completed, 1 failed, 7 limit, 8 denied, 9 timeout, 130 interrupted.',
  examples: [['kubiya exec team incident "why is checkout slow since 10:00?"', 'with the team named incident']],
  args: {
    team: { type: 'positional', description: 'id or name of the team' },
    prompt: { type: 'positional', description: 'what the team is to do; - reads stdin', required: false },
    ...startFlags,
    ...displayFlags,
  },
  run: (context) => runExec({ kind: 'team', name: context.args.team }, context),
});
