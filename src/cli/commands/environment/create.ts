// `kubiya environment create`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'create an environment' },
  scope: 'api',
  examples: [['kubiya environment create --name staging', 'a second environment']],
  args: { name: { type: 'text', required: true, description: 'name of the environment' }, json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printThing(output, await client.createEnvironment({ name: args.name }), args.json);
  },
});
