// `kubiya execution get`.
import { defineCommand, jsonFlag } from '../../command.ts';
import { connect } from '../../connect.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  scope: 'api',
  examples: [
    ['kubiya execution get $ID', 'its state and its answer'],
    ['kubiya execution get $ID --json | jq -r .response', 'only the answer'],
  ],
  flags: { json: jsonFlag },
  arguments: { execution: { description: 'id of the execution' } },
  run: async ({ flags, arguments: { execution } }, { output, loadConfig }) => {
    const client = await connect(await loadConfig());
    const found = await client.getExecution(execution);
    await printThing(output, { ...found, status: found.status.toLowerCase() }, flags.json);
  },
});
