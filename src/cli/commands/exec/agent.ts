// `kubiya exec agent <id|name> "<prompt>"`: the named agent.
import { defineCommand } from '../../command.ts';
import { displayFlags, startFlags } from '../../exec/flags.ts';
import { runExec } from '../../exec/run-exec.ts';

export default defineCommand({
  meta: { description: 'run a prompt with an agent' },
  scope: 'exec',
  details: 'Exit code: 0 completed, 1 failed, 7 limit, 8 denied, 9 timeout, 130 interrupted.',
  examples: [
    ['kubiya exec agent default "list the largest files here"', 'with the agent named default'],
    [
      'kubiya exec agent reviewer --queue ci --timeout 10m --stream-format json "review the last commit"',
      'in CI, as one JSON object per line',
    ],
    ['kubiya exec agent deployer --idempotency-key "deploy-$SHA" "deploy $SHA"', 'a second start follows the first'],
  ],
  args: {
    agent: { type: 'positional', description: 'id or name of the agent' },
    prompt: { type: 'positional', description: 'what the agent is to do; - reads stdin', required: false },
    ...startFlags,
    ...displayFlags,
  },
  run: (context) => runExec({ kind: 'agent', name: context.args.agent }, context),
});
