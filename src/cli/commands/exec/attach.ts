// `kubiya exec attach <execution>`: follow what was started before.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { chooseRenderings, displayFlags } from '../../exec/flags.ts';
import { followToEnd } from '../../exec/follow.ts';
import { takeInterrupts } from '../../exec/interrupts.ts';

export default defineCommand({
  meta: { description: 'follow an execution that was started before' },
  scope: 'api',
  details:
    'Shows the execution from its beginning and follows it to its end; the exit code is its outcome. Ctrl+C leaves, the execution goes on.',
  examples: [
    ['kubiya exec attach 4f0c6f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49', 'follow an execution'],
    ['kubiya exec attach $ID --output json', 'wait for it and print the result'],
  ],
  args: { execution: { type: 'positional', description: 'id of the execution' }, ...displayFlags },
  run: async ({ args, output, loadConfig }) => {
    const { execution } = args;
    const renderings = chooseRenderings(args, output, { showsPrompt: true });
    const config = await loadConfig();
    const client = await connect(config);
    await client.getExecution(execution);
    const interrupts = await takeInterrupts();
    try {
      return await followToEnd({
        client,
        executionId: execution,
        renderer: renderings.create(execution, undefined),
        interrupts,
        isOwner: false,
        timeoutMs: undefined,
        questions: output.isInteractive && !config.isNonInteractive ? output.questions : undefined,
      });
    } finally {
      interrupts.dispose();
    }
  },
});
