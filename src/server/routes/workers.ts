// Workers: registration, heartbeat, disconnect, and which of them are alive.
import { Hono } from 'hono';
import * as v from 'valibot';
import {
  disconnectSchema,
  heartbeatSchema,
  workerSchema,
  workerStartRequestSchema,
  workerStartResponseSchema,
  type Worker,
  type WorkerStartResponse,
} from '../../protocol/control-plane.ts';
import { organizationId, type ServerDeps } from '../deps.ts';
import { findQueue } from '../lookups.ts';
import { jsonBody, query, route } from '../openapi.ts';
import { dropDeadWorkers, presentWorkers } from '../present-workers.ts';
import { HttpProblem, notFound } from '../problems.ts';
import { claimWaiting } from '../single-execution.ts';
import type { QueueRecord, WorkerRecord } from '../store/queues.ts';
import { withoutUndefined } from '../store/resources.ts';
import { takeOver } from '../takeover.ts';

const tag = 'workers';
const boolean = v.picklist(['true', 'false']);
/** A worker is alive until it has missed two heartbeats and half of the third. */
const liveIntervals = 2.5;
/** Log lines kept of a worker, as many as the cloud keeps. */
const logLinesMax = 100;

export function workerRoutes(deps: ServerDeps): Hono {
  const app = new Hono();
  addRegistration(app, deps);
  addLife(app, deps);
  return app;
}

function addRegistration(app: Hono, deps: ServerDeps): void {
  const { store } = deps;
  app.post(
    '/api/v1/worker-queues/:id/start',
    route({
      summary: 'Register a worker',
      tag,
      answers: { 200: workerStartResponseSchema },
      refusals: [400, 404, 409, 422],
    }),
    jsonBody(workerStartRequestSchema),
    async (context) => {
      const queue = findQueue(deps, context.req.param('id'));
      const { control_plane_url: url, ...body } = context.req.valid('json');
      refuseRegistration(deps, queue, body.journal_id ?? undefined);
      const worker = store.queues.register(queue.id, { ...withoutUndefined(body), status: 'registered' });
      claimWaiting(deps, worker);
      deps.log.info('A worker registered', { worker: worker.id, queue: queue.name });
      await takeOver(deps, worker);
      return context.json(startResponse(deps, queue, worker, url ?? new URL(context.req.url).origin));
    },
  );
  app.get(
    '/api/v1/worker-queues/:id/workers',
    route({
      summary: 'The live workers of a queue',
      description:
        'With include_gone=true those of the last 24 hours, with include_starting=true also those that have not sent a heartbeat yet.',
      tag,
      answers: { 200: v.array(workerSchema) },
      refusals: [404, 422],
    }),
    query(v.object({ include_gone: v.nullish(boolean), include_starting: v.nullish(boolean) })),
    (context) => {
      const { id } = findQueue(deps, context.req.param('id'));
      dropDeadWorkers(deps, id);
      const { include_gone, include_starting } = context.req.valid('query');
      if (include_gone === 'true') return context.json(store.queues.knownWorkers(id).map(show));
      const workers = include_starting === 'true' ? presentWorkers(deps, id) : store.queues.liveWorkers(id);
      return context.json(workers.map(show));
    },
  );
}

function addLife(app: Hono, deps: ServerDeps): void {
  const { store, clock } = deps;
  app.post(
    '/api/v1/workers/:id/heartbeat',
    route({
      summary: 'Say that a worker lives',
      description: '404 for a worker that is unknown or has disconnected: it must register again.',
      tag,
      answers: { 204: null },
      refusals: [404, 422],
    }),
    jsonBody(heartbeatSchema),
    (context) => {
      const worker = connectedWorker(deps, context.req.param('id'));
      const queue = store.queues.find(worker.queueId);
      if (queue === null) throw notFound('worker', worker.id);
      const { logs, ...beat } = context.req.valid('json');
      // A worker that was told to beat less often than its queue says is not dead in between.
      const own = Number(beat.worker_metadata?.['heartbeat_interval'] ?? 0);
      const intervalMs = Math.max(queue.heartbeatInterval, Number.isFinite(own) ? Math.min(own, 300) : 0) * 1000;
      const kept = Array.isArray(worker.body['logs']) ? worker.body['logs'].map(String) : [];
      store.queues.beat(worker.id, {
        liveUntilMs: clock.now() + liveIntervals * intervalMs,
        body: { ...worker.body, ...withoutUndefined(beat), logs: [...kept, ...(logs ?? [])].slice(-logLinesMax) },
      });
      return context.body(null, 204);
    },
  );
  app.post(
    '/api/v1/workers/:id/disconnect',
    route({ summary: 'Say that a worker ends', tag, answers: { 204: null }, refusals: [404, 422] }),
    jsonBody(disconnectSchema),
    (context) => {
      const worker = connectedWorker(deps, context.req.param('id'));
      const { reason, exit_code: exitCode, error_message: error } = context.req.valid('json');
      store.queues.disconnect(worker.id);
      deps.log.info('A worker disconnected', {
        worker: worker.id,
        reason,
        exit_code: exitCode ?? undefined,
        error: error ?? undefined,
      });
      deps.wake();
      return context.body(null, 204);
    },
  );
}

function connectedWorker({ store }: ServerDeps, id = ''): WorkerRecord {
  const worker = store.queues.findWorker(id);
  if (worker === null) throw notFound('worker', id, 'register again');
  return worker;
}

function refuseRegistration(deps: ServerDeps, queue: QueueRecord, journalId: string | undefined): void {
  if (queue.status !== 'active') {
    throw new HttpProblem(400, `The worker queue ${queue.name} is ${queue.status}`, {
      code: 'queue_not_active',
      hint: 'set its status to active',
    });
  }
  if (queue.maxWorkers === null || othersOf(deps, queue, journalId).length < queue.maxWorkers) return;
  throw new HttpProblem(409, `The worker queue ${queue.name} has its ${queue.maxWorkers} workers`, {
    code: 'queue_full',
    hint: 'stop one of them, or raise max_workers of the queue; a worker that vanished counts for 2.5 heartbeats',
    retryable: true,
  });
}

/** Who counts against the limit: not a dead one whose journal the new one has. */
function othersOf(deps: ServerDeps, { id }: QueueRecord, journalId: string | undefined): WorkerRecord[] {
  return presentWorkers(deps, id).filter(({ body }) => journalId === undefined || body['journal_id'] !== journalId);
}

function startResponse(deps: ServerDeps, queue: QueueRecord, worker: WorkerRecord, url: string): WorkerStartResponse {
  const { registration, store, version } = deps;
  return {
    worker_id: worker.id,
    task_queue_name: queue.id,
    temporal_namespace: registration.temporalNamespace,
    temporal_host: registration.temporalAddress,
    temporal_api_key: registration.temporalApiKey,
    organization_id: organizationId,
    control_plane_url: url,
    heartbeat_interval: queue.heartbeatInterval,
    litellm_api_url: null,
    litellm_api_key: null,
    queue_name: queue.name,
    environment_name: store.resources.find('environment', queue.environmentId)?.name ?? null,
    queue_id: queue.id,
    queue_ephemeral: queue.isEphemeral,
    queue_single_execution: queue.isSingleExecution || worker.body['single_execution'] === true,
    redis_enabled: false,
    websocket_enabled: false,
    nats_config: null,
    control_plane_sdk_version: version,
    workflow_signing_key: registration.signingKey,
    is_local: registration.isLocal,
    temporal_tls: registration.hasTemporalTls,
    supports_event_batches: true,
  };
}

function show({ id, body, registeredAtMs, lastHeartbeatMs }: WorkerRecord): Worker {
  return {
    ...(body as Pick<Worker, 'system_info' | 'logs' | 'worker_metadata' | 'current_task_id' | 'journal_id'>),
    id,
    worker_id: id,
    status: typeof body['status'] === 'string' ? body['status'] : 'active',
    tasks_processed: Number(body['tasks_processed'] ?? 0),
    last_heartbeat: lastHeartbeatMs === null ? null : new Date(lastHeartbeatMs).toISOString(),
    registered_at: new Date(registeredAtMs).toISOString(),
  };
}
