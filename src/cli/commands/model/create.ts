// `kubiya model create`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'create a model' },
  scope: 'api',
  details: 'Adds a model to the list of the control plane. Workers need the key of its provider.',
  examples: [['kubiya model create openai/gpt-5 --label "GPT-5"', 'under the id that agents name']],
  args: {
    model: { type: 'positional', description: 'id that agents name' },
    label: { type: 'text', valueName: 'text', description: 'name for people' },
    provider: {
      type: 'text',
      valueName: 'name',
      defaultText: 'the part of the id before the slash',
      description: 'who serves it',
    },
    description: { type: 'text', valueName: 'text', description: 'what the model is good for' },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig }) => {
    const { model } = args;
    const client = await connect(await loadConfig());
    const provider = args.provider ?? (model.includes('/') ? model.split('/')[0] : undefined);
    await printThing(
      output,
      await client.createModel({ value: model, label: args.label ?? model, provider, description: args.description }),
      args.json,
    );
  },
});
