// The fields of an agent as flags.
import type { ControlPlaneClient } from '../../controlplane/client.ts';
import type { ValuesOf } from '../flags.ts';
import { lookUp } from '../lookup.ts';

export const agentFlags = {
  name: { type: 'text', description: 'name of the agent' },
  'system-prompt': { type: 'text', valueName: 'text', description: 'what the agent is told before every prompt' },
  model: { type: 'text', valueName: 'id', defaultText: 'what the worker chooses', description: 'model of the agent' },
  skill: { type: 'text', isRepeatable: true, valueName: 'id|name', description: 'skill to give it' },
  team: { type: 'text', valueName: 'id|name', description: 'team that it belongs to and whose skills it has' },
  environment: {
    type: 'text',
    isRepeatable: true,
    valueName: 'id|name',
    description: 'environment whose variables and skills it has',
  },
  runtime: { type: 'choice', choices: ['default', 'claude_code'], description: 'what runs it' },
  description: { type: 'text', valueName: 'text', description: 'what the agent is for' },
} as const;

export async function agentFields(client: ControlPlaneClient, args: ValuesOf<typeof agentFlags>) {
  return {
    name: args.name,
    description: args.description,
    system_prompt: args['system-prompt'],
    model_id: args.model,
    runtime: args.runtime,
    skill_ids: await skillIds(client, args.skill),
    team_id: args.team === undefined ? undefined : lookUp('team', args.team, await client.listTeams()).id,
    environment_ids: await environmentIds(client, args.environment),
  };
}

/** Undefined when none is named: then they stay as they are. */
export async function skillIds(client: ControlPlaneClient, wanted: readonly string[]): Promise<string[] | undefined> {
  if (wanted.length === 0) return undefined;
  const skills = await client.listSkills();
  return wanted.map((name) => lookUp('skill', name, skills).id);
}

async function environmentIds(client: ControlPlaneClient, wanted: readonly string[]): Promise<string[] | undefined> {
  if (wanted.length === 0) return undefined;
  const environments = await client.listEnvironments();
  return wanted.map((name) => lookUp('environment', name, environments).id);
}
