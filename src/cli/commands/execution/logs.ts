// `kubiya execution logs`.
import { followExecution } from '../../../controlplane/stream.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { chooseRenderings, displayFlags } from '../../exec/flags.ts';
import { outcomeOf } from '../../exec/follow.ts';

const { compact, verbose } = displayFlags;

export default defineCommand({
  meta: { description: 'print what happened in an execution' },
  scope: 'api',
  details:
    'Prints the messages, thinking and tool calls so far and ends; the exit code does not depend on the outcome.',
  examples: [
    ['kubiya execution logs $ID --full-output', 'with all output of its tools'],
    ['kubiya execution logs $ID --follow', 'until it ends'],
    [
      'kubiya execution logs $ID --stream-format json | jq -c \'select(.type=="tool_completed")\'',
      'only the results of tools',
    ],
  ],
  args: {
    execution: { type: 'positional', description: 'id of the execution' },
    follow: { type: 'switch', alias: 'f', description: 'go on until the execution ends' },
    'stream-format': displayFlags['stream-format'],
    verbose,
    compact,
    'full-output': displayFlags['full-output'],
    'output-lines': displayFlags['output-lines'],
  },
  run: async ({ args, output, loadConfig }) => {
    const flags = { ...args, output: undefined, stream: true };
    const renderer = chooseRenderings(flags, output, { showsPrompt: true }).create(args.execution, undefined);
    const client = await connect(await loadConfig());
    await client.getExecution(args.execution);
    // A reader who has left (`| head`) ends it: there is nothing else to do here.
    const events = followExecution(client, args.execution, { signal: output.closed });
    try {
      for (;;) {
        const next = await events.next();
        if (next.done === true) return await renderer.finish(outcomeOf(args.execution, next.value, undefined));
        if (next.value.type === 'history_complete' && !args.follow) return await renderer.pause();
        await renderer.event(next.value);
      }
    } catch (error) {
      if (!output.closed.aborted) throw error;
    } finally {
      await events.return(undefined as never);
    }
  },
});
