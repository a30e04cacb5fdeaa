// `kubiya agent get`.
import { defineCommand, jsonFlag } from '../../command.ts';
import { connect } from '../../connect.ts';
import { lookUp } from '../../lookup.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  scope: 'api',
  examples: [
    ['kubiya agent get default', 'by its name or id'],
    ['kubiya agent get default --json', 'everything the control plane knows about it'],
  ],
  flags: { json: jsonFlag },
  arguments: { agent: { description: 'id or name of the agent' } },
  run: async ({ flags, arguments: { agent: wanted } }, { output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printThing(output, lookUp('agent', wanted, await client.listAgents()), flags.json);
  },
});
