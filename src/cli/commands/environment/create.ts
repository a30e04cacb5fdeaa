// `kubiya environment create`.
import { createEnvironmentSchema, environmentSchema } from '../../../protocol/control-plane.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { fileFlag, readBody, requireFlags } from '../../nouns/body.ts';
import { environmentFields, environmentFlags } from '../../nouns/environment.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'create an environment' },
  scope: 'api',
  examples: [
    ['kubiya environment create --name staging', 'a second environment'],
    ['kubiya environment create --name staging --variable STAGE=staging --skill shell', 'with what its agents have'],
  ],
  args: { ...environmentFlags, file: fileFlag, json: jsonFlag },
  run: async ({ args, cwd, output, loadConfig }) => {
    requireFlags(args, ['name']);
    const client = await connect(await loadConfig());
    const flags = await environmentFields(client, args);
    const body = await readBody({
      schema: createEnvironmentSchema,
      answer: environmentSchema,
      file: args.file,
      cwd,
      flags,
    });
    await printThing(output, await client.createEnvironment(body), args.json);
  },
});
