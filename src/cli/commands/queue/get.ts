// `kubiya queue get`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'show one worker queue' },
  scope: 'api',
  examples: [
    ['kubiya queue get default', 'by its name or id'],
    ['kubiya queue get default --json', 'everything the control plane knows about it'],
  ],
  args: { queue: { type: 'positional', description: 'id or name of the queue' }, json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printThing(output, lookUp('queue', args.queue, await client.listQueues()), args.json);
  },
});
