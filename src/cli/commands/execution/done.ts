// `kubiya execution done`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'end a conversation' },
  scope: 'api',
  details: 'The agent finishes what it is doing, its last answer stays the answer, and the execution is completed.',
  examples: [['kubiya execution done $ID', 'after the last answer']],
  args: { execution: { type: 'positional', description: 'id of the execution' }, json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await client.markDone(args.execution);
    if (args.json) return await output.printJson({ success: true, execution_id: args.execution });
    await output.note('the conversation ends');
  },
});
