// `kubiya model create`.
import { defineCommand, jsonFlag } from '../../command.ts';
import { connect } from '../../connect.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  scope: 'api',
  details: 'Adds a model to the list of the control plane. Workers need the key of its provider.',
  examples: [['kubiya model create openai/gpt-5 --label "GPT-5"', 'under the id that agents name']],
  flags: {
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
  arguments: { model: { description: 'id that agents name' } },
  run: async ({ flags, arguments: { model } }, { output, loadConfig }) => {
    const client = await connect(await loadConfig());
    const provider = flags.provider ?? (model.includes('/') ? model.split('/')[0] : undefined);
    await printThing(
      output,
      await client.createModel({ value: model, label: flags.label ?? model, provider, description: flags.description }),
      flags.json,
    );
  },
});
