// `kubiya environment update`.
import { environmentSchema, updateEnvironmentSchema } from '../../../protocol/control-plane.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { fileFlag, readBody, refuseEmpty } from '../../nouns/body.ts';
import { environmentFields, environmentFlags } from '../../nouns/environment.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'change an environment' },
  scope: 'api',
  examples: [['kubiya environment update staging --variable STAGE=canary', 'one variable; the others stay']],
  args: {
    environment: { type: 'positional', description: 'id or name of the environment' },
    ...environmentFlags,
    file: fileFlag,
    json: jsonFlag,
  },
  run: async ({ args, cwd, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    const current = lookUp('environment', args.environment, await client.listEnvironments());
    const flags = await environmentFields(client, args);
    const body = await readBody({
      schema: updateEnvironmentSchema,
      answer: environmentSchema,
      file: args.file,
      cwd,
      flags,
      current,
    });
    refuseEmpty(body);
    await printThing(output, await client.updateEnvironment(current.id, body), args.json);
  },
});
