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
  configuration: {},
  execution_environment: null,
  status: 'active',
};

export function catalogRoutes(deps: ServerDeps): Hono[] {
  const { store } = deps;
  const exists = (kind: 'agent' | 'environment' | 'team', ids: unknown): void => {
    if (!Array.isArray(ids)) return;
    for (const id of ids) if (store.resources.find(kind, String(id)) === null) throw unknownReference(kind, String(id));
  };
  return [
    resourceRoutes(deps, {
      kind: 'environment',
      path: 'environments',
      nameField: 'name',
      create: createEnvironmentSchema,
      update: updateEnvironmentSchema,
      answer: environmentSchema,
      defaults: environmentDefaults,
      hasSkills: true,
      checkDelete: (environment) => refuseUsedEnvironment(deps, environment),
      computed: (environment) => workerCounts(deps, environment),
    }),
    resourceRoutes(deps, {
      kind: 'agent',
      path: 'agents',
      nameField: 'name',
      create: createAgentSchema,
      update: updateAgentSchema,
      answer: agentSchema,
      defaults: agentDefaults,
      hasSkills: true,
      check: (body) => {
        exists('environment', body['environment_ids']);
        if (typeof body['team_id'] === 'string') exists('team', [body['team_id']]);
      },
    }),
    resourceRoutes(deps, {
      kind: 'team',
      path: 'teams',
      nameField: 'name',
      create: createTeamSchema,
      update: updateTeamSchema,
      answer: teamSchema,
      defaults: teamDefaults,
      hasSkills: true,
      check: (body) => exists('agent', (body['configuration'] as Body | null)?.['member_ids']),
    }),
    resourceRoutes(deps, {
      kind: 'model',
      path: 'models',
      nameField: 'value',
      create: createModelSchema,
      update: updateModelSchema,
      answer: modelSchema,
      defaults: modelDefaults,
      hasSkills: false,
    }),
    resourceRoutes(deps, {
      kind: 'skill',
      path: 'skills',
      nameField: 'name',
      create: createSkillSchema,
      update: updateSkillSchema,
      answer: skillSchema,
      defaults: skillDefaults,
      hasSkills: false,
    }),
  ];
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
