// `kubiya queue get`.
import { defineCommand, jsonFlag } from '../../command.ts';
import { connect } from '../../connect.ts';
import { lookUp } from '../../lookup.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  scope: 'api',
  examples: [
    ['kubiya queue get default', 'by its name or id'],
    ['kubiya queue get default --json', 'everything the control plane knows about it'],
  ],
  flags: { json: jsonFlag },
  arguments: { queue: { description: 'id or name of the queue' } },
  run: async ({ flags, arguments: { queue: wanted } }, { output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printThing(output, lookUp('queue', wanted, await client.listQueues()), flags.json);
  },
});
