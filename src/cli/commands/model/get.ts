// `kubiya model get`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';

import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'show one model' },
  scope: 'api',
  examples: [
    ['kubiya model get openai/gpt-5', 'by its name or id'],
    ['kubiya model get openai/gpt-5 --json', 'everything the control plane knows about it'],
  ],
  args: { model: { type: 'positional', description: 'id or name of the model' }, json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printThing(output, await client.getModel(args.model), args.json);
  },
});
