// Worker queues: created in an environment, hidden when ephemeral, deleted only when nobody polls them.
import { createHash } from 'node:crypto';
import { Hono } from 'hono';
import * as v from 'valibot';
import {
  createQueueSchema,
  queueConfigSchema,
  queueExecutionSchema,
  queueSchema,
  updateQueueSchema,
  type Queue,
  type QueueConfig,
} from '../../protocol/control-plane.ts';
import { organizationId, type ServerDeps } from '../deps.ts';
import { findQueue, findResource } from '../lookups.ts';
import { digits, jsonBody, query, route } from '../openapi.ts';
import { HttpProblem } from '../problems.ts';
import { dropDeadWorkers } from '../present-workers.ts';
import { removeQueue } from '../queue-removal.ts';
import type { NewQueue, QueueRecord } from '../store/queues.ts';
import type { Body } from '../store/resources.ts';
import { refuseTaken } from './resources.ts';

const tag = 'worker queues';
/** Seconds; the protocol's 60 shows a dead worker as live for 150 s, this one for 75 s. */
export const heartbeatIntervalDefault = 30;
const executionsListedMax = 100;
const promptShownCharactersMax = 200;

export function queueRoutes(deps: ServerDeps): Hono {
  const { store } = deps;
  const app = new Hono();
  const list = v.array(queueSchema);
  app.get(
    '/api/v1/worker-queues',
    route({ summary: 'All queues but ephemeral ones', tag, answers: { 200: list } }),
    (context) => context.json(visible(store.queues.list()).map((queue) => show(deps, queue))),
  );
  app.get(
    '/api/v1/environments/:environment/worker-queues',
    route({ summary: 'The queues of an environment', tag, answers: { 200: list }, refusals: [404] }),
    (context) => {
      const environment = findResource(deps, 'environment', context.req.param('environment'));
      const queues = store.queues.list().filter((queue) => queue.environmentId === environment.id);
      return context.json(visible(queues).map((queue) => show(deps, queue)));
    },
  );
  app.post(
    '/api/v1/environments/:environment/worker-queues',
    route({ summary: 'Create a queue', tag, answers: { 201: queueSchema }, refusals: [404, 409, 422] }),
    jsonBody(createQueueSchema),
    (context) => {
      const environment = findResource(deps, 'environment', context.req.param('environment'));
      const created = newQueue(environment.id, context.req.valid('json'));
      const queue = refuseTaken('queue', () => store.queues.insert(created));
      if (queue.isEphemeral) deps.wake();
      return context.json(show(deps, queue), 201);
    },
  );
  app.get(
    '/api/v1/worker-queues/:id',
    route({ summary: 'One queue, by id or name', tag, answers: { 200: queueSchema }, refusals: [404] }),
    (context) => context.json(show(deps, findQueue(deps, context.req.param('id')))),
  );
  app.patch(
    '/api/v1/worker-queues/:id',
    route({ summary: 'Change the given fields', tag, answers: { 200: queueSchema }, refusals: [404, 409, 422] }),
    jsonBody(updateQueueSchema),
    (context) => {
      const queue = findQueue(deps, context.req.param('id'));
      const changed = changedQueue(queue, context.req.valid('json'));
      refuseTaken('queue', () => store.queues.replace(changed));
      return context.json(show(deps, findQueue(deps, queue.id)));
    },
  );
  app.delete(
    '/api/v1/worker-queues/:id',
    route({
      summary: 'Delete a queue',
      description: '400 while it has live workers. Executions that wait for it are cancelled.',
      tag,
      answers: { 204: null },
      refusals: [400, 404],
    }),
    (context) => {
      const queue = findQueue(deps, context.req.param('id'));
      refuseInUse(deps, queue);
      removeQueue(deps, queue);
      return context.body(null, 204);
    },
  );
  addReports(app, deps);
  return app;
}

function addReports(app: Hono, deps: ServerDeps): void {
  app.get(
    '/api/v1/worker-queues/:id/executions',
    route({
      summary: 'Its newest executions',
      tag,
      answers: { 200: v.array(queueExecutionSchema) },
      refusals: [404, 422],
    }),
    query(v.object({ limit: digits, status: v.nullish(v.string()) })),
    (context) => {
      const queue = findQueue(deps, context.req.param('id'));
      const { limit, status } = context.req.valid('query');
      const executions = deps.store.executions.list({
        queueId: queue.id,
        skip: 0,
        limit: Math.min(Number(limit ?? 10), executionsListedMax),
        status: status === 'all' ? undefined : status?.toLowerCase(),
      });
      return context.json(
        executions.map((execution) => ({
          id: execution.id,
          status: execution.status,
          entity_id: execution.entityId,
          entity_name: execution.entityName,
          execution_type: 'agent',
          prompt: execution.prompt.slice(0, promptShownCharactersMax),
          created_at: execution.createdAt,
          started_at: execution.startedAt,
          completed_at: execution.completedAt,
          temporal_workflow_id: `agent-execution-${execution.id}`,
        })),
      );
    },
  );
  app.get(
    '/api/v1/worker-queues/:id/config',
    route({ summary: 'Its configuration, with a version', tag, answers: { 200: queueConfigSchema }, refusals: [404] }),
    (context) => context.json(configOf(deps, findQueue(deps, context.req.param('id')))),
  );
}

function refuseInUse(deps: ServerDeps, queue: QueueRecord): void {
  if (queue.name === 'default') {
    throw new HttpProblem(400, 'The worker queue "default" cannot be deleted', { code: 'default_is_kept' });
  }
  dropDeadWorkers(deps, queue.id);
  const workers = deps.store.queues.liveWorkers(queue.id).length;
  if (workers === 0) return;
  throw new HttpProblem(400, `Cannot delete worker queue with ${workers} active workers`, {
    code: 'queue_has_workers',
    hint: 'stop them first, or try again once they have disconnected',
    retryable: true,
  });
}

function visible(queues: readonly QueueRecord[]): QueueRecord[] {
  return queues.filter((queue) => !queue.isEphemeral);
}

function newQueue(environmentId: string, request: v.InferOutput<typeof createQueueSchema>): NewQueue {
  const isEphemeral = request.ephemeral ?? request.name.startsWith('local-exec');
  return {
    environmentId,
    name: request.name,
    status: 'active',
    heartbeatInterval: request.heartbeat_interval ?? heartbeatIntervalDefault,
    maxWorkers: request.max_workers ?? null,
    isEphemeral,
    isSingleExecution: request.single_execution_mode ?? false,
    autoCleanupAfterSeconds: request.auto_cleanup_after_seconds ?? null,
    body: bodyOf(request),
  };
}

/** The fields that the server keeps and does not act on. */
function bodyOf(request: v.InferOutput<typeof createQueueSchema>): Body {
  const { display_name, description, tags, settings, worker_type, parent_execution_id } = request;
  return {
    display_name: display_name ?? null,
    description: description ?? null,
    tags: tags ?? [],
    settings: settings ?? {},
    worker_type: worker_type ?? null,
    parent_execution_id: parent_execution_id ?? null,
  };
}

function changedQueue(queue: QueueRecord, request: v.InferOutput<typeof updateQueueSchema>): QueueRecord {
  const { display_name, description, tags, settings } = request;
  const fields = Object.entries({ display_name, description, tags, settings });
  return {
    ...queue,
    name: request.name ?? queue.name,
    status: request.status ?? queue.status,
    heartbeatInterval: request.heartbeat_interval ?? queue.heartbeatInterval,
    maxWorkers: request.max_workers === undefined ? queue.maxWorkers : request.max_workers,
    body: { ...queue.body, ...Object.fromEntries(fields.filter(([, value]) => value !== undefined)) },
  };
}

function show({ store }: ServerDeps, queue: QueueRecord): Queue {
  const { body } = queue;
  return {
    id: queue.id,
    organization_id: organizationId,
    environment_id: queue.environmentId,
    name: queue.name,
    ...(body as Pick<Queue, 'display_name' | 'description' | 'tags' | 'settings'>),
    status: queue.status,
    max_workers: queue.maxWorkers,
    heartbeat_interval: queue.heartbeatInterval,
    active_workers: store.queues.liveWorkers(queue.id).length,
    task_queue_name: queue.id,
    ephemeral: queue.isEphemeral,
    single_execution_mode: queue.isSingleExecution,
    auto_cleanup_after_seconds: queue.autoCleanupAfterSeconds,
    created_at: queue.createdAt,
    updated_at: queue.updatedAt,
  };
}

function configOf({ store }: ServerDeps, queue: QueueRecord): QueueConfig {
  const { name, status } = queue;
  const { tags, settings, display_name, description } = queue.body as Pick<
    QueueConfig,
    'tags' | 'settings' | 'display_name' | 'description'
  >;
  const versioned = {
    heartbeat_interval: queue.heartbeatInterval,
    max_workers: queue.maxWorkers,
    name,
    settings,
    status,
    tags,
  };
  return {
    queue_id: queue.id,
    ...versioned,
    display_name,
    description,
    config_version: createHash('sha256').update(JSON.stringify(versioned)).digest('hex'),
    config_updated_at: queue.updatedAt,
    recommended_package_version: null,
    environment_id: queue.environmentId,
    environment_name: store.resources.find('environment', queue.environmentId)?.name ?? null,
  };
}
