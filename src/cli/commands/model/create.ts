// `kubiya model create`.
import { createModelSchema, modelSchema } from '../../../protocol/control-plane.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { fileFlag, readBody } from '../../nouns/body.ts';
import { modelFields, modelFlags } from '../../nouns/model.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'create a model' },
  scope: 'api',
  details: 'Adds a model to the list of the control plane. Workers need the key of its provider.',
  examples: [
    ['kubiya model create openai/gpt-5 --label "GPT-5"', 'under the id that agents name'],
    [
      'kubiya model create local/llama --input-price 0 --output-price 0',
      'with its prices, which limits of cost count with',
    ],
  ],
  args: {
    model: { type: 'positional', description: 'id that agents name' },
    ...modelFlags,
    file: fileFlag,
    json: jsonFlag,
  },
  run: async ({ args, cwd, output, loadConfig }) => {
    const { model, file } = args;
    const given = modelFields(args);
    const client = await connect(await loadConfig());
    // Said only where neither flag nor file says it.
    const guessed = {
      label: given.label ?? (file === undefined ? model : undefined),
      provider: given.provider ?? (model.includes('/') ? model.split('/')[0] : undefined),
    };
    const flags = { ...given, ...guessed, value: model };
    const body = await readBody({ schema: createModelSchema, answer: modelSchema, file, cwd, flags });
    await printThing(output, await client.createModel(body), args.json);
  },
});
