// `kubiya skill create`.
import { createSkillSchema, skillSchema, skillTypes } from '../../../protocol/control-plane.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag, jsonObject } from '../../flags.ts';
import { fileFlag, readBody, requireFlags } from '../../nouns/body.ts';
import { printSkill } from '../../nouns/skill.ts';

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
    type: { type: 'choice', choices: skillTypes, description: 'kind of tools' },
    name: { type: 'text', description: 'name of the skill' },
    config: { type: 'text', valueName: 'json', description: 'configuration as a JSON object' },
    description: { type: 'text', valueName: 'text', description: 'what the skill is for' },
    file: fileFlag,
    json: jsonFlag,
  },
  run: async ({ args, cwd, output, loadConfig }) => {
    requireFlags(args, ['name', 'type']);
    const configuration = args.config === undefined ? undefined : jsonObject('config', args.config);
    const client = await connect(await loadConfig());
    const flags = { name: args.name, type: args.type, description: args.description, configuration };
    const body = await readBody({ schema: createSkillSchema, answer: skillSchema, file: args.file, cwd, flags });
    await printSkill(output, await client.createSkill(body), args.json);
  },
});
