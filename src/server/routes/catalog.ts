// Environments, agents, teams, models and skills, each as a set of resource routes.
import type { Hono } from 'hono';
import {
  agentSchema,
  createAgentSchema,
  createEnvironmentSchema,
  createModelSchema,
  createSkillSchema,
  createTeamSchema,
  environmentSchema,
  modelSchema,
  skillSchema,
  teamSchema,
  updateAgentSchema,
  updateEnvironmentSchema,
  updateModelSchema,
  updateSkillSchema,
  updateTeamSchema,
} from '../../protocol/control-plane.ts';
import type { ServerDeps } from '../deps.ts';
import { HttpProblem } from '../problems.ts';
import type { Body, Resource } from '../store/resources.ts';
import { resourceRoutes, unknownReference } from './resources.ts';
import { checkedTeam, membersOf } from './teams.ts';

/** What the default entries and everything created without these fields have. */
export const agentDefaults: Body = {
  description: null,
  capabilities: [],
  configuration: {},
  model_id: null,
  llm_config: {},
  runtime: 'default',
  system_prompt: null,
  team_id: null,
  environment_ids: [],
  execution_environment: null,
  status: 'idle',
  state: {},
};
export const environmentDefaults: Body = {
  display_name: null,
  description: null,
  tags: [],
  settings: {},
  execution_environment: null,
  status: 'ready',
};
export const skillDefaults: Body = { description: null, icon: 'Wrench', enabled: true, configuration: {} };
export const modelDefaults: Body = {
  label: null,
  provider: null,
  model_type: 'text-generation',
  enabled: true,
  recommended: false,
  compatible_runtimes: ['default'],
  capabilities: {},
  display_order: 1000,
};
const teamDefaults: Body = {
  description: null,
  runtime: 'default',
  environment_ids: [],
  configuration: {},
  execution_environment: null,
  status: 'active',
};

export function catalogRoutes(deps: ServerDeps): Hono[] {
  const { store } = deps;
  const idOf = (kind: 'environment' | 'team', named: unknown): string => {
    const found = store.resources.find(kind, String(named));
    if (found === null) throw unknownReference(kind, String(named));
    return found.id;
  };
  const withEnvironments = (body: Body): Body => {
    const { environment_ids: named } = body;
    return Array.isArray(named) ? { ...body, environment_ids: named.map((one) => idOf('environment', one)) } : body;
  };
  return [
    resourceRoutes(deps, {
      kind: 'environment',
      path: 'environments',
      create: createEnvironmentSchema,
      update: updateEnvironmentSchema,
      answer: environmentSchema,
      defaults: environmentDefaults,
      beforeDelete: (environment) => refuseUsedEnvironment(deps, environment),
      computed: (environment) => workerCounts(deps, environment),
    }),
    resourceRoutes(deps, {
      kind: 'agent',
      path: 'agents',
      create: createAgentSchema,
      update: updateAgentSchema,
      answer: agentSchema,
      defaults: agentDefaults,
      check: (body) => {
        const { team_id: team } = body;
        return { ...withEnvironments(body), ...(typeof team === 'string' ? { team_id: idOf('team', team) } : {}) };
      },
      beforeDelete: (agent) => refuseMember(deps, agent),
    }),
    resourceRoutes(deps, {
      kind: 'team',
      path: 'teams',
      create: createTeamSchema,
      update: updateTeamSchema,
      answer: teamSchema,
      defaults: teamDefaults,
      check: (body) => checkedTeam(deps, withEnvironments(body)),
      beforeDelete: (team) => releaseAgents(deps, team),
      takenStatus: 400,
    }),
    resourceRoutes(deps, {
      kind: 'model',
      path: 'models',
      create: createModelSchema,
      update: updateModelSchema,
      answer: modelSchema,
      defaults: modelDefaults,
    }),
    resourceRoutes(deps, {
      kind: 'skill',
      path: 'skills',
      create: createSkillSchema,
      update: updateSkillSchema,
      answer: skillSchema,
      defaults: skillDefaults,
    }),
  ];
}

function refuseMember({ store }: ServerDeps, agent: Resource): void {
  const team = store.resources.list('team').find(({ body }) => membersOf(body).includes(agent.id));
  if (team === undefined) return;
  throw new HttpProblem(409, `The agent ${agent.name} is a member of the team ${team.name}`, {
    code: 'agent_in_use',
    hint: `take it out first: kubiya team update ${team.name} --remove-member ${agent.name}`,
  });
}

/** Agents that named the team as theirs belong to none. */
function releaseAgents({ store }: ServerDeps, team: Resource): void {
  for (const { id, name, body } of store.resources.list('agent')) {
    if (body['team_id'] === team.id) store.resources.replace('agent', id, name, { ...body, team_id: null });
  }
}

function refuseUsedEnvironment({ store }: ServerDeps, environment: Resource): void {
  if (environment.name === 'default') {
    throw new HttpProblem(400, 'The environment "default" cannot be deleted', { code: 'default_is_kept' });
  }
  const queues = store.queues.list().filter((queue) => queue.environmentId === environment.id);
  if (queues.length === 0) return;
  throw new HttpProblem(409, `The environment has ${queues.length} worker queues`, {
    code: 'environment_in_use',
    hint: 'delete its queues first (kubiya queue list)',
  });
}

function workerCounts({ store }: ServerDeps, environment: Resource): Body {
  const workers = store.queues
    .list()
    .filter((queue) => queue.environmentId === environment.id)
    .flatMap((queue) => store.queues.liveWorkers(queue.id));
  const busy = workers.filter(
    (worker) => worker.body['current_task_id'] !== undefined && worker.body['current_task_id'] !== null,
  );
  return { active_workers: workers.length, idle_workers: workers.length - busy.length, busy_workers: busy.length };
}
