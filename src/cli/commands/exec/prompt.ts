// `kubiya exec "<prompt>"`: plan who does it, ask, run it.
import { defineCommand } from '../../command.ts';
import { displayFlags, planFlags, startFlags } from '../../exec/flags.ts';
import { runExec } from '../../exec/run-exec.ts';

export default defineCommand({
  meta: { description: 'plan a prompt, and run it with the agent or team that fits' },
  scope: 'exec',
  details:
    'The control plane plans who does it: with its language model, or by rules, which the plan says. What runs is the prompt as typed.\n' +
    'With --local and without a key it is the default agent. Without --queue the only queue with a live worker is used, else the\n' +
    'one named `default`; when no worker polls any, one runs here for this execution and is removed afterwards.\n' +
    'The answer goes to stdout, everything else to stderr. Ctrl+C cancels the execution; a second one leaves at once.',
  examples: [
    ['kubiya exec "summarise the open TODOs in this repository"', 'show the plan, ask, and run it'],
    ["kubiya exec --local --model kubiya/offline 'run `uname -a`'", 'with a private worker and no language model'],
    ['git diff | kubiya exec --yes --output json -', 'prompt from stdin, one JSON object as the answer'],
    ['kubiya exec --plan-only --save-plan plan.json "migrate the database"', 'only plan it'],
    ['kubiya exec --plan-file plan.json --yes', 'run the saved plan'],
    ['kubiya exec --yes --queue eu,us "check the disks"', 'on two queues at the same time'],
  ],
  args: {
    prompt: { type: 'positional', description: 'what the agent is to do; - reads stdin', required: false },
    ...startFlags,
    ...planFlags,
    ...displayFlags,
  },
  run: (context) => runExec(undefined, context),
});
