// `kubiya agent update`.
import { agentSchema, updateAgentSchema } from '../../../protocol/control-plane.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { fileFlag, readBody, refuseEmpty } from '../../nouns/body.ts';
import { agentFields, agentFlags } from '../../nouns/agent.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'change an agent' },
  scope: 'api',
  details: 'What is given replaces what was there; skills and environments that are given are all that it has.',
  examples: [
    ['kubiya agent update reviewer --model openai/gpt-5 --skill shell', 'another model, and shell as its only skill'],
    ['kubiya agent get reviewer --json > a.json; kubiya agent update reviewer --file a.json', 'edited in a file'],
  ],
  args: {
    agent: { type: 'positional', description: 'id or name of the agent' },
    ...agentFlags,
    file: fileFlag,
    json: jsonFlag,
  },
  run: async ({ args, cwd, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    const current = lookUp('agent', args.agent, await client.listAgents());
    const flags = await agentFields(client, args);
    const body = await readBody({
      schema: updateAgentSchema,
      answer: agentSchema,
      file: args.file,
      cwd,
      flags,
      current,
    });
    refuseEmpty(body);
    await printThing(output, await client.updateAgent(current.id, body), args.json);
  },
});
