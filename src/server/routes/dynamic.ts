// Executions that bring their agent along: it is in the request and nowhere else.
import { Hono } from 'hono';
import type * as v from 'valibot';
import { createId } from '../../lib/ids.ts';
import {
  dynamicExecuteResponseSchema,
  dynamicExecuteSchema,
  resolveQueueResponseSchema,
  resolveQueueSchema,
} from '../../protocol/dynamic.ts';
import type { ServerDeps } from '../deps.ts';
import { chooseQueue, execute } from '../execute.ts';
import { jsonBody, route } from '../openapi.ts';
import { HttpProblem } from '../problems.ts';
import type { ExecuteInput } from '../store/executions.ts';
import type { Resource } from '../store/resources.ts';
import { unknownReference } from './resources.ts';

const tag = 'dynamic executions';
const root = '/api/v1/dynamic-executions';

type Request = v.InferOutput<typeof dynamicExecuteSchema>;

export function dynamicRoutes(deps: ServerDeps): Hono {
  const app = new Hono();
  app.post(
    `${root}/execute`,
    route({
      summary: 'Start an execution of the agent in the request',
      description: 'After a 503 the execution waits, and is started when Temporal is back.',
      tag,
      answers: { 200: dynamicExecuteResponseSchema },
      refusals: [400, 404, 409, 413, 422, 502, 503, 507],
    }),
    jsonBody(dynamicExecuteSchema),
    async (context) => {
      const request = context.req.valid('json');
      const entity = agentOf(deps, request);
      const started = await execute(deps, {
        kind: 'dynamic',
        entity,
        request: requestOf(request),
        idempotencyKey: null,
      });
      return context.json({ ...started, entity_id: entity.id });
    },
  );
  app.post(
    `${root}/resolve-queue`,
    route({
      summary: 'The queue that such an execution would go to',
      tag,
      answers: { 200: resolveQueueResponseSchema },
      refusals: [400, 404, 422],
    }),
    jsonBody(resolveQueueSchema),
    (context) => {
      const queue = chooseQueue(deps, context.req.valid('json').worker_queue_id);
      return context.json({
        worker_queue_id: queue.id,
        worker_queue_name: queue.name,
        environment_id: queue.environmentId,
        active_workers: deps.store.queues.liveWorkers(queue.id).length,
      });
    },
  );
  return app;
}

function agentOf({ store, clock }: ServerDeps, { entity }: Request): Resource {
  const subagents = Object.keys(entity.subagents ?? {});
  if (entity.entity_type === 'team' || (subagents.length > 0 && entity.runtime !== 'claude_code')) {
    throw new HttpProblem(400, 'A dynamic execution is one agent; a team must be created before it is executed', {
      code: 'dynamic_team',
      hint: 'create its agents and the team (kubiya team create), then execute that',
    });
  }
  const skillIds = entity.skill_ids ?? [];
  for (const skill of skillIds)
    if (store.resources.find('skill', skill) === null) throw unknownReference('skill', skill);
  const now = new Date(clock.now()).toISOString();
  const body = {
    system_prompt: entity.system_prompt,
    model_id: entity.model_id ?? null,
    llm_config: entity.model_params ?? {},
    runtime: entity.runtime ?? 'default',
    skill_ids: skillIds,
    configuration: { ...entity.configuration, ...(subagents.length > 0 ? { subagents: entity.subagents } : {}) },
  };
  return { id: createId(), name: entity.name ?? 'dynamic agent', body, createdAt: now, updatedAt: now };
}

/** MCP servers may hold secrets: they stay with the request, which the worker reads without Temporal. */
function requestOf({
  prompt,
  entity,
  worker_queue_id,
  execution_environment: environment,
  ...about
}: Request): ExecuteInput {
  const mcpServers = { ...entity.mcp_servers, ...environment?.mcp_servers };
  const { meta_agent_session_id, is_shared, privacy_level } = about;
  return {
    prompt,
    worker_queue_id,
    execution_environment: { ...environment, mcp_servers: mcpServers },
    execution_metadata: { is_dynamic: true, meta_agent_session_id, is_shared, privacy_level },
  };
}
