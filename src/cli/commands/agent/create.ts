// `kubiya agent create`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'create an agent' },
  scope: 'api',
  examples: [
    [
      'kubiya agent create --name reviewer --skill shell --skill file_system --system-prompt "You review code"',
      'with two skills',
    ],
    ['kubiya agent create --name offline --model kubiya/offline --json', 'with a model of its own'],
  ],
  args: {
    name: { type: 'text', required: true, description: 'name of the agent' },
    'system-prompt': { type: 'text', valueName: 'text', description: 'what the agent is told before every prompt' },
    model: { type: 'text', valueName: 'id', defaultText: 'what the worker chooses', description: 'model of the agent' },
    skill: { type: 'text', isRepeatable: true, valueName: 'id|name', description: 'skill to give it' },
    description: { type: 'text', valueName: 'text', description: 'what the agent is for' },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    const skills = args.skill.length === 0 ? [] : await client.listSkills();
    const agent = await client.createAgent({
      name: args.name,
      description: args.description,
      system_prompt: args['system-prompt'],
      model_id: args.model,
      skill_ids: args.skill.map((wanted) => lookUp('skill', wanted, skills).id),
    });
    await printThing(output, agent, args.json);
  },
});
