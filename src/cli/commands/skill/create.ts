// `kubiya skill create`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag, jsonObject } from '../../flags.ts';
import { skillTypes } from '../../../protocol/control-plane.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'create a skill' },
  scope: 'api',
  examples: [
    [
      'kubiya skill create --name safe-shell --type shell --config \'{"allowed_commands":["ls","cat"]}\'',
      'a shell that may only read',
    ],
    ['kubiya skill create --name files --type file_system --json', 'with the defaults of its type'],
  ],
  args: {
    name: { type: 'text', required: true, description: 'name of the skill' },
    type: { type: 'choice', required: true, choices: skillTypes, description: 'kind of tools' },
    config: { type: 'text', valueName: 'json', description: 'configuration as a JSON object' },
    description: { type: 'text', valueName: 'text', description: 'what the skill is for' },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig }) => {
    const configuration = args.config === undefined ? undefined : jsonObject('config', args.config);
    const client = await connect(await loadConfig());
    await printThing(
      output,
      await client.createSkill({ name: args.name, type: args.type, description: args.description, configuration }),
      args.json,
    );
  },
});
