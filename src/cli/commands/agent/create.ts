// `kubiya agent create`.
import { createAgentSchema, agentSchema } from '../../../protocol/control-plane.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { fileFlag, readBody, requireFlags } from '../../nouns/body.ts';
import { agentFields, agentFlags } from '../../nouns/agent.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'create an agent' },
  scope: 'api',
  examples: [
    [
      'kubiya agent create --name reviewer --skill shell --skill file_system --system-prompt "You review code"',
      'with two skills',
    ],
    ['kubiya agent create --name offline --model kubiya/offline --json', 'with a model of its own'],
    ['kubiya agent create --file reviewer.yaml', 'everything out of a file'],
  ],
  args: { ...agentFlags, file: fileFlag, json: jsonFlag },
  run: async ({ args, cwd, output, loadConfig }) => {
    requireFlags(args, ['name']);
    const client = await connect(await loadConfig());
    const flags = await agentFields(client, args);
    const body = await readBody({ schema: createAgentSchema, answer: agentSchema, file: args.file, cwd, flags });
    await printThing(output, await client.createAgent(body), args.json);
  },
});
