// `kubiya environment get`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'show one environment' },
  scope: 'api',
  examples: [
    ['kubiya environment get default', 'by its name or id'],
    ['kubiya environment get default --json', 'everything the control plane knows about it'],
  ],
  args: { environment: { type: 'positional', description: 'id or name of the environment' }, json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printThing(output, lookUp('environment', args.environment, await client.listEnvironments()), args.json);
  },
});
