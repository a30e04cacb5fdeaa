// `kubiya environment get`.
import { defineCommand, jsonFlag } from '../../command.ts';
import { connect } from '../../connect.ts';
import { lookUp } from '../../lookup.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  scope: 'api',
  examples: [
    ['kubiya environment get default', 'by its name or id'],
    ['kubiya environment get default --json', 'everything the control plane knows about it'],
  ],
  flags: { json: jsonFlag },
  arguments: { environment: { description: 'id or name of the environment' } },
  run: async ({ flags, arguments: { environment: wanted } }, { output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printThing(output, lookUp('environment', wanted, await client.listEnvironments()), flags.json);
  },
});
