// `kubiya queue create`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'create a worker queue' },
  scope: 'api',
  examples: [
    ['kubiya queue create --name ci', 'in the default environment'],
    ['kubiya queue create --name ci --environment staging --json', 'in another one'],
  ],
  args: {
    name: { type: 'text', required: true, description: 'name of the queue' },
    environment: {
      type: 'text',
      valueName: 'id|name',
      defaultText: 'ENVIRONMENT_NAME, else default',
      description: 'environment it belongs to',
    },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig }) => {
    const config = await loadConfig();
    const client = await connect(config);
    const environment = lookUp(
      'environment',
      args.environment ?? config.environmentName,
      await client.listEnvironments(),
    );
    await printThing(output, await client.createQueue(environment.id, { name: args.name }), args.json);
  },
});
