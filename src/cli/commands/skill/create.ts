// `kubiya skill create`.
import { defineCommand, jsonFlag } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonObject, required } from '../../flags.ts';
import { skillTypes } from '../../../protocol/control-plane.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  scope: 'api',
  examples: [
    [
      'kubiya skill create --name safe-shell --type shell --config \'{"allowed_commands":["ls","cat"]}\'',
      'a shell that may only read',
    ],
    ['kubiya skill create --name files --type file_system --json', 'with the defaults of its type'],
  ],
  flags: {
    name: { type: 'text', description: 'name of the skill (required)' },
    type: { type: 'choice', choices: skillTypes, description: 'kind of tools (required)' },
    config: { type: 'text', valueName: 'json', description: 'configuration as a JSON object' },
    description: { type: 'text', valueName: 'text', description: 'what the skill is for' },
    json: jsonFlag,
  },
  arguments: {},
  run: async ({ flags }, { output, loadConfig }) => {
    const name = required('name', flags.name);
    const type = required('type', flags.type);
    const configuration = flags.config === undefined ? undefined : jsonObject('config', flags.config);
    const client = await connect(await loadConfig());
    await printThing(
      output,
      await client.createSkill({ name, type, description: flags.description, configuration }),
      flags.json,
    );
  },
});
