// `kubiya agent get`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'show one agent' },
  scope: 'api',
  examples: [
    ['kubiya agent get default', 'by its name or id'],
    ['kubiya agent get default --json', 'everything the control plane knows about it'],
  ],
  args: { agent: { type: 'positional', description: 'id or name of the agent' }, json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printThing(output, lookUp('agent', args.agent, await client.listAgents()), args.json);
  },
});
