// `kubiya model update`.
import { modelSchema, updateModelSchema } from '../../../protocol/control-plane.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { fileFlag, readBody, refuseEmpty } from '../../nouns/body.ts';
import { modelFields, modelFlags } from '../../nouns/model.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'change a model' },
  scope: 'api',
  examples: [
    ['kubiya model update openai/gpt-5 --input-price 1.25 --output-price 10', 'what limits of cost count with'],
    ['kubiya model update openai/gpt-5 --disable', 'takes it from the list of those to choose from'],
  ],
  args: {
    model: { type: 'positional', description: 'id of the model' },
    ...modelFlags,
    file: fileFlag,
    json: jsonFlag,
  },
  run: async ({ args, cwd, output, loadConfig }) => {
    const flags = modelFields(args);
    const client = await connect(await loadConfig());
    const current = await client.getModel(args.model);
    const body = await readBody({
      schema: updateModelSchema,
      answer: modelSchema,
      file: args.file,
      cwd,
      flags,
      current,
    });
    refuseEmpty(body);
    await printThing(output, await client.updateModel(current.id, body), args.json);
  },
});
