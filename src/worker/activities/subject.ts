// Who runs an execution and with what: an agent or a team of the control plane, or the agent that the execution brings along.
import type { EntityKind, TeamMember } from '../../agent/state.ts';
import { KubiyaError } from '../../errors.ts';
import type { Agent, ResolvedEnvironment, ResolvedSkillResponse, Team } from '../../protocol/control-plane.ts';
import type {
  AgentExecutionInput,
  DynamicExecutionInput,
  ExecutionInput,
  TeamExecutionInput,
} from '../../protocol/workflow.ts';
import type { WorkerDeps } from '../deps.ts';
import type { ExecutionContexts } from './execution-context.ts';

/** More would be more than a model can choose from, and more prompts than a leader can keep apart. */
const membersMax = 50;

export interface Subject {
  readonly entityKind: EntityKind;
  readonly agent: Pick<
    Agent,
    'id' | 'name' | 'updated_at' | 'system_prompt' | 'model_id' | 'llm_config' | 'configuration'
  >;
  readonly runtime: string;
  readonly skills: readonly ResolvedSkillResponse[];
  readonly environment: ResolvedEnvironment;
  /** Of a team's leader: at least one. */
  readonly members?: readonly TeamMember[];
}

type Sources = { readonly controlPlane: WorkerDeps['controlPlane']; readonly contexts: ExecutionContexts };

export function findSubject(input: ExecutionInput, sources: Sources): Promise<Subject> {
  if ('team_id' in input) return findTeam(input, sources);
  return 'entity_id' in input ? findDynamic(input, sources) : findAgent(input, sources);
}

async function findAgent(input: AgentExecutionInput, { controlPlane, contexts }: Sources): Promise<Subject> {
  const [agent, skills, environment] = await Promise.all([
    controlPlane.getAgent(input.agent_id),
    controlPlane.listResolvedSkills('agents', input.agent_id),
    contexts.environmentOf('agent', input.agent_id, input.execution_id),
  ]);
  return { entityKind: 'agent', agent, runtime: agent.runtime ?? 'default', skills, environment };
}

async function findTeam(input: TeamExecutionInput, { controlPlane, contexts }: Sources): Promise<Subject> {
  const [team, skills, environment] = await Promise.all([
    controlPlane.getTeam(input.team_id),
    controlPlane.listResolvedSkills('teams', input.team_id),
    contexts.environmentOf('team', input.team_id, input.execution_id),
  ]);
  const agents = await membersOf(team, controlPlane);
  const runtime = team.runtime ?? 'default';
  if (runtime !== 'default') {
    throw new KubiyaError(
      `The team ${team.name} has the runtime ${runtime}, and only teams of the runtime default can run here`,
      {
        kind: 'configuration',
        code: 'team_runtime',
        hint: `\`kubiya team update ${team.name} --runtime default\` changes it; its members keep their own runtimes`,
      },
    );
  }
  const configuration = { ...team.configuration };
  const llm = recordOf(configuration['llm']);
  return {
    entityKind: 'team',
    agent: {
      id: team.id,
      name: team.name,
      updated_at: team.updated_at,
      system_prompt: instructionsOf(configuration['instructions']),
      model_id: textOf(llm['model']) ?? textOf(llm['model_id']),
      llm_config: llm,
      configuration,
    },
    runtime,
    skills,
    environment,
    members: agents.map(({ id, name, description }) => ({ id, name, description: description ?? '' })),
  };
}

/** Those that the team names, in its order, then those that name the team. */
async function membersOf(team: Team, controlPlane: WorkerDeps['controlPlane']): Promise<readonly Agent[]> {
  const named = team.configuration?.['member_ids'];
  const ids = Array.isArray(named) ? named.filter((id) => typeof id === 'string') : [];
  const agents = await controlPlane.listAgents();
  const byId = ids.map((id) => agents.find((agent) => agent.id === id || agent.name === id));
  const missing = ids.find((_id, index) => byId[index] === undefined);
  if (missing !== undefined) await explainMissing(team, missing, controlPlane);
  const members = [...new Set([...byId, ...agents.filter((agent) => agent.team_id === team.id)])];
  const found = members.filter((agent) => agent !== undefined);
  const hint = `add agents with \`kubiya team update ${team.name}\`, or set their team`;
  if (found.length === 0) {
    throw new KubiyaError(`The team ${team.name} has no members`, { kind: 'configuration', code: 'team_empty', hint });
  }
  if (found.length > membersMax) {
    throw new KubiyaError(
      `The team ${team.name} has ${found.length} members; ${membersMax} are the most that one leader can lead`,
      {
        kind: 'configuration',
        code: 'team_too_large',
        hint: 'split it into several teams',
      },
    );
  }
  return found;
}

async function explainMissing(team: Team, id: string, controlPlane: WorkerDeps['controlPlane']): Promise<never> {
  const other = await controlPlane.getTeam(id).catch(() => undefined);
  const what =
    other === undefined ? 'there is no such agent' : `${other.name} is a team, and a team cannot lead a team`;
  throw new KubiyaError(`The team ${team.name} cannot start: its member ${id} is missing, because ${what}`, {
    kind: 'configuration',
    code: 'team_member_missing',
    hint: `change its members with \`kubiya team update ${team.name}\``,
  });
}

async function findDynamic(input: DynamicExecutionInput, { controlPlane, contexts }: Sources): Promise<Subject> {
  const wanted = input.skill_ids ?? [];
  const [skills, environment] = await Promise.all([
    wanted.length === 0 ? [] : controlPlane.listSkills(),
    contexts.environmentOf('dynamic', input.entity_id, input.execution_id),
  ]);
  const chosen = wanted.map((named) => {
    const skill = skills.find(({ id, name }) => id === named || name === named);
    if (skill !== undefined) return { ...skill, configuration: skill.configuration ?? {} };
    throw new KubiyaError(`There is no skill ${named}`, {
      kind: 'configuration',
      code: 'skill_not_found',
      hint: '`kubiya skill list` lists them',
    });
  });
  return {
    entityKind: 'dynamic',
    agent: {
      id: input.entity_id,
      name: input.entity_name ?? 'dynamic agent',
      system_prompt: input.system_prompt,
      model_id: input.model_id,
      llm_config: input.model_config,
      configuration: input.agent_config,
    },
    runtime: input.runtime_type ?? 'default',
    skills: chosen,
    environment,
  };
}

/** One text or several, as the cloud keeps them. */
function instructionsOf(given: unknown): string | undefined {
  if (Array.isArray(given)) return textOf(given.filter((line) => typeof line === 'string').join('\n'));
  return textOf(given);
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
const recordOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? { ...value } : {};
