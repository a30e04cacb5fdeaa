// `kubiya execution message`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { readPrompt } from '../../exec/prompt.ts';
import { jsonFlag } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'say something to the agent of an execution' },
  scope: 'api',
  details: 'While it works the agent reads it at its next turn; several messages are read in their order.',
  examples: [
    ['kubiya execution message $ID "also look at the tests"', 'at any time'],
    ['git diff | kubiya execution message $ID -', 'what is piped in'],
  ],
  args: {
    execution: { type: 'positional', description: 'id of the execution' },
    message: { type: 'positional', required: false, description: 'what to say; - reads stdin' },
    'message-file': { type: 'path', valueName: 'file', description: 'read the message from a file' },
    'message-id': { type: 'text', valueName: 'id', description: 'the same id is delivered once' },
    json: jsonFlag,
  },
  run: async ({ args, cwd, output, loadConfig }) => {
    const message = await readPrompt({ argument: args.message, file: args['message-file'], cwd });
    const client = await connect(await loadConfig());
    await client.sendMessage(args.execution, { message, message_id: args['message-id'] });
    if (args.json) return await output.printJson({ success: true, execution_id: args.execution });
    await output.note('the message was delivered');
  },
});
