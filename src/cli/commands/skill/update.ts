// `kubiya skill update`.
import { skillSchema, updateSkillSchema } from '../../../protocol/control-plane.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag, jsonObject, usage } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { fileFlag, readBody, refuseEmpty } from '../../nouns/body.ts';
import { printSkill } from '../../nouns/skill.ts';

export default defineCommand({
  meta: { description: 'change a skill' },
  scope: 'api',
  details: 'Keys of --config are laid over those that are there; the rest stays.',
  examples: [
    ['kubiya skill update safe-shell --config \'{"timeout": 30}\'', 'one key of its configuration'],
    ['kubiya skill update safe-shell --disable', 'takes it from everybody at once'],
  ],
  args: {
    skill: { type: 'positional', description: 'id or name of the skill' },
    name: { type: 'text', description: 'name of the skill' },
    config: { type: 'text', valueName: 'json', description: 'configuration as a JSON object' },
    description: { type: 'text', valueName: 'text', description: 'what the skill is for' },
    enable: { type: 'switch', description: 'agents that have it may use it' },
    disable: { type: 'switch', description: 'no agent may use it' },
    file: fileFlag,
    json: jsonFlag,
  },
  run: async ({ args, cwd, output, loadConfig }) => {
    const configuration = args.config === undefined ? undefined : jsonObject('config', args.config);
    if (args.enable && args.disable)
      throw usage('--enable and --disable contradict each other', 'flags_contradict', 'leave out one');
    const enabled = args.enable ? true : args.disable ? false : undefined;
    const client = await connect(await loadConfig());
    const current = lookUp('skill', args.skill, await client.listSkills());
    const flags = { name: args.name, description: args.description, enabled, configuration };
    const body = await readBody({
      schema: updateSkillSchema,
      answer: skillSchema,
      file: args.file,
      cwd,
      flags,
      current,
    });
    refuseEmpty(body);
    await printSkill(output, await client.updateSkill(current.id, body), args.json);
  },
});
