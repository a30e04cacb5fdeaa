// `kubiya environment create`.
import { defineCommand, jsonFlag } from '../../command.ts';
import { connect } from '../../connect.ts';
import { required } from '../../flags.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  scope: 'api',
  examples: [['kubiya environment create --name staging', 'a second environment']],
  flags: { name: { type: 'text', description: 'name of the environment (required)' }, json: jsonFlag },
  arguments: {},
  run: async ({ flags }, { output, loadConfig }) => {
    const name = required('name', flags.name);
    const client = await connect(await loadConfig());
    await printThing(output, await client.createEnvironment({ name }), flags.json);
  },
});
