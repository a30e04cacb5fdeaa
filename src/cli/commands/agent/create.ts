// `kubiya agent create`.
import { defineCommand, jsonFlag } from '../../command.ts';
import { connect } from '../../connect.ts';
import { required } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  scope: 'api',
  examples: [
    [
      'kubiya agent create --name reviewer --skill shell --skill file_system --system-prompt "You review code"',
      'with two skills',
    ],
    ['kubiya agent create --name offline --model kubiya/offline --json', 'with a model of its own'],
  ],
  flags: {
    name: { type: 'text', description: 'name of the agent (required)' },
    'system-prompt': { type: 'text', valueName: 'text', description: 'what the agent is told before every prompt' },
    model: { type: 'text', valueName: 'id', defaultText: 'what the worker chooses', description: 'model of the agent' },
    skill: { type: 'text', isRepeatable: true, valueName: 'id|name', description: 'skill to give it' },
    description: { type: 'text', valueName: 'text', description: 'what the agent is for' },
    json: jsonFlag,
  },
  arguments: {},
  run: async ({ flags }, { output, loadConfig }) => {
    const name = required('name', flags.name);
    const client = await connect(await loadConfig());
    const skills = flags.skill.length === 0 ? [] : await client.listSkills();
    const agent = await client.createAgent({
      name,
      description: flags.description,
      system_prompt: flags['system-prompt'],
      model_id: flags.model,
      skill_ids: flags.skill.map((wanted) => lookUp('skill', wanted, skills).id),
    });
    await printThing(output, agent, flags.json);
  },
});
