// The fields of a team as flags.
import type { ControlPlaneClient } from '../../controlplane/client.ts';
import type { ValuesOf } from '../flags.ts';
import { lookUp } from '../lookup.ts';
import { skillIds } from './agent.ts';

export const teamFlags = {
  name: { type: 'text', description: 'name of the team' },
  member: {
    type: 'text',
    isRepeatable: true,
    valueName: 'id|name',
    description: 'agent that is a member; on update, these are all the members',
  },
  instructions: { type: 'text', valueName: 'text', description: 'what the leader is told before every prompt' },
  model: { type: 'text', valueName: 'id', defaultText: 'what the worker chooses', description: 'model of the leader' },
  skill: { type: 'text', isRepeatable: true, valueName: 'id|name', description: 'skill to give the team' },
  runtime: { type: 'choice', choices: ['default', 'claude_code'], description: 'what runs it' },
  description: { type: 'text', valueName: 'text', description: 'what the team is for' },
} as const;

export async function teamFields(client: ControlPlaneClient, args: ValuesOf<typeof teamFlags>) {
  const configuration = {
    member_ids: args.member.length === 0 ? undefined : await agentIds(client, args.member),
    instructions: args.instructions,
    llm: args.model === undefined ? undefined : { model: args.model },
  };
  const isConfigured = Object.values(configuration).some((value) => value !== undefined);
  return {
    name: args.name,
    description: args.description,
    runtime: args.runtime,
    skill_ids: await skillIds(client, args.skill),
    configuration: isConfigured ? configuration : undefined,
  };
}

export async function agentIds(client: ControlPlaneClient, wanted: readonly string[]): Promise<string[]> {
  if (wanted.length === 0) return [];
  const agents = await client.listAgents();
  return wanted.map((name) => lookUp('agent', name, agents).id);
}
