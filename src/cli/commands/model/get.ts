// `kubiya model get`.
import { defineCommand, jsonFlag } from '../../command.ts';
import { connect } from '../../connect.ts';

import { printThing } from '../../table.ts';

export default defineCommand({
  scope: 'api',
  examples: [
    ['kubiya model get openai/gpt-5', 'by its name or id'],
    ['kubiya model get openai/gpt-5 --json', 'everything the control plane knows about it'],
  ],
  flags: { json: jsonFlag },
  arguments: { model: { description: 'id or name of the model' } },
  run: async ({ flags, arguments: { model: wanted } }, { output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printThing(output, await client.getModel(wanted), flags.json);
  },
});
