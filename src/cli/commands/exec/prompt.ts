// `kubiya exec "<prompt>"`: the default agent.
import { defineCommand } from '../../command.ts';
import { displayFlags, startFlags } from '../../exec/flags.ts';
import { runExec } from '../../exec/run-exec.ts';

export default defineCommand({
  meta: { description: 'run a prompt with the default agent and stream what happens' },
  scope: 'exec',
  details:
    'The agent is the one named `default`. Without --queue the only queue with a live worker is used, else the one named `default`.\n' +
    'The answer goes to stdout, everything else to stderr. Ctrl+C cancels the execution; a second one leaves at once.',
  examples: [
    [
      'kubiya exec "summarise the open TODOs in this repository"',
      'on the running local server, or the cloud with KUBIYA_API_KEY',
    ],
    [
      "kubiya exec --local --yes --model kubiya/offline 'run `uname -a`'",
      'with a private worker and no language model',
    ],
    ['git diff | kubiya exec --output json -', 'prompt from stdin, one JSON object as the answer'],
    ['kubiya exec --detach --prompt-file task.md', 'start it and leave'],
  ],
  args: {
    prompt: { type: 'positional', description: 'what the agent is to do; - reads stdin', required: false },
    ...startFlags,
    ...displayFlags,
  },
  run: (context) => runExec(undefined, context),
});
