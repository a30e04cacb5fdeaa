// `kubiya queue create`.
import { defineCommand, jsonFlag } from '../../command.ts';
import { connect } from '../../connect.ts';
import { required } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  scope: 'api',
  examples: [
    ['kubiya queue create --name ci', 'in the default environment'],
    ['kubiya queue create --name ci --environment staging --json', 'in another one'],
  ],
  flags: {
    name: { type: 'text', description: 'name of the queue (required)' },
    environment: {
      type: 'text',
      valueName: 'id|name',
      defaultText: 'ENVIRONMENT_NAME, else default',
      description: 'environment it belongs to',
    },
    json: jsonFlag,
  },
  arguments: {},
  run: async ({ flags }, { output, loadConfig }) => {
    const name = required('name', flags.name);
    const config = await loadConfig();
    const client = await connect(config);
    const environment = lookUp(
      'environment',
      flags.environment ?? config.environmentName,
      await client.listEnvironments(),
    );
    await printThing(output, await client.createQueue(environment.id, { name }), flags.json);
  },
});
