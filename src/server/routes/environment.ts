// The execution environment of an agent or a team: variables, MCP servers and limits, from the general to the particular.
import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import {
  resolvedEnvironmentSchema,
  resolvedVariablesSchema,
  type ExecutionEnvironment,
  type ResolvedEnvironment,
} from '../../protocol/control-plane.ts';
import type { ServerDeps } from '../deps.ts';
import { findExecution, findResource } from '../lookups.ts';
import { query, route } from '../openapi.ts';
import type { Resource } from '../store/resources.ts';

const root = '/api/v1/execution-environment/:type{agents|teams}/:id/resolved';
const tag = 'execution environment';

export function environmentRoutes(deps: ServerDeps): Hono {
  const app = new Hono();
  const parameters = v.object({ execution_id: v.nullish(v.string()) });
  app.get(
    root,
    route({ summary: 'Its variables', tag, answers: { 200: resolvedVariablesSchema }, refusals: [404, 422] }),
    query(parameters),
    (context) => {
      const { execution_id: executionId } = context.req.valid('query');
      return context.json(resolve(deps, entityOf(deps, context, executionId), executionId).env_vars ?? {});
    },
  );
  app.get(
    `${root}/full`,
    route({
      summary: 'Everything that prepares an execution',
      description: 'With execution_id also what that execution asked for: it does not pass through Temporal.',
      tag,
      answers: { 200: resolvedEnvironmentSchema },
      refusals: [404, 422],
    }),
    query(parameters),
    (context) => {
      const { execution_id: executionId } = context.req.valid('query');
      return context.json(resolve(deps, entityOf(deps, context, executionId), executionId));
    },
  );
  return app;
}

/** A dynamic execution is the only one that knows its agent. */
function entityOf(deps: ServerDeps, context: Context, executionId: string | null | undefined): Resource {
  const id = context.req.param('id');
  const execution = typeof executionId === 'string' ? deps.store.executions.find(executionId) : null;
  if (execution !== null && execution.entityId === id && 'entity_id' in execution.workflowInput) {
    const { entityName: name, createdAt, updatedAt, workflowInput } = execution;
    return { id, name, createdAt, updatedAt, body: { configuration: workflowInput.agent_config ?? {} } };
  }
  return findResource(deps, context.req.param('type') === 'agents' ? 'agent' : 'team', id);
}

function resolve(deps: ServerDeps, entity: Resource, executionId: string | null | undefined): ResolvedEnvironment {
  const { store } = deps;
  const execution = typeof executionId === 'string' ? findExecution(deps, executionId) : null;
  const queue = execution === null ? null : store.queues.find(execution.queueId);
  const ids = entity.body['environment_ids'];
  const environmentIds = new Set([
    ...(queue === null ? [] : [queue.environmentId]),
    ...(Array.isArray(ids) ? ids.map(String) : []),
  ]);
  const environments = [...environmentIds].map((id) => environmentOf(store.resources.find('environment', id)));
  const asked = execution?.request.execution_environment ?? null;
  const layers = [...environments, environmentOf(entity), asked].filter((layer) => layer !== null);
  const { system_prompt: prompt, description, configuration } = entity.body;
  return {
    env_vars: Object.assign({}, ...layers.map((layer) => layer.env_vars ?? {})) as Record<string, string>,
    mcp_servers: Object.assign({}, ...layers.map((layer) => layer.mcp_servers ?? {})) as Record<string, unknown>,
    system_prompt: typeof prompt === 'string' ? prompt : null,
    description: typeof description === 'string' ? description : null,
    configuration: configuration as Record<string, unknown>,
    // This server keeps no secrets, and refuses requests that name some.
    secrets_resolved: {},
    working_dir: layers.findLast((layer) => typeof layer.working_dir === 'string')?.working_dir ?? null,
    skill_dirs: layers.flatMap((layer) => layer.skill_dirs ?? []),
    timeout: layers.findLast((layer) => typeof layer.timeout === 'number')?.timeout ?? null,
  };
}

function environmentOf(resource: Resource | null): ExecutionEnvironment | null {
  return (resource?.body['execution_environment'] as ExecutionEnvironment | null | undefined) ?? null;
}
