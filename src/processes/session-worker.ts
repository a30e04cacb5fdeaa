// One registered worker from registration to disconnect: the part that `worker start` and `exec --local` have in common.
import { hostname as systemHostname } from 'node:os';
import type { Config } from '../config/config.ts';
import { describeOrigin } from '../config/problems.ts';
import { createAnalyticsReporter } from '../controlplane/analytics.ts';
import type { ControlPlaneClient } from '../controlplane/client.ts';
import { startHeartbeat, type HeartbeatLoop } from '../controlplane/heartbeat.ts';
import type { EventSink } from '../controlplane/publisher.ts';
import { KubiyaError, messageOf } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import { readCgroupLimits } from '../lib/cgroup.ts';
import { createFetch } from '../lib/network.ts';
import type { WorkerStartResponse } from '../protocol/control-plane.ts';
import type { WireEvent } from '../protocol/events.ts';
import { createSystemInfoCollector, type SystemInfoCollector } from '../telemetry/system-info.ts';
import { createMeter, type Meter, type WorkerCounters } from '../telemetry/meter.ts';
import { createWorkNumbers } from '../telemetry/work-numbers.ts';
import { createMcpServers, type McpServers } from '../tools/mcp/servers.ts';
import { version } from '../version.ts';
import type { Session } from '../worker/deps.ts';
import type { RunningWorker } from '../worker/run.ts';
import { journalIdentity } from '../worker/sole-journal.ts';
import { chooseConcurrency } from './concurrency.ts';
import type { InstanceScope } from './instance-scope.ts';
import { isRefusedForGood, register, registerOnce, temporalOf, type RegistrationOptions } from './registration.ts';
import { createControlPlaneHealth, notLiveReason, notReadyReason, type ControlPlaneHealth } from './session-health.ts';
import { createSessionModels, type SessionModels } from './session-models.ts';
import { createUpkeep, type LostSession, type Upkeep } from './session-upkeep.ts';
import type { Teardown } from './teardown.ts';
import type { HostedWorker, TemporalEngine, WorkerHost } from './worker-deps.ts';
import type { SessionHealth } from './worker-view.ts';

/** A server that heeds nothing is killed after 1.3 s. */
const mcpStopMs = 3_000;
/** Sums of what was used are worth a moment at the end, not more. */
const analyticsStopMs = 2_000;

export interface WorkerPlace {
  /** Absolute paths of existing directories. */
  readonly journalDirectory: string;
  readonly workspaceDirectory: string;
  /** Holds `venv/` and `requirements.txt`. */
  readonly directory: string;
}

export interface SessionWorkerOptions {
  readonly config: Config;
  readonly scope: InstanceScope;
  readonly client: ControlPlaneClient;
  readonly queue: { readonly id: string; readonly name: string };
  readonly place: WorkerPlace;
  /** From `loadTemporalWorker`: started early, because loading takes a while. */
  readonly engine: Promise<TemporalEngine>;
  readonly logLines: () => readonly string[];
  /** Who else counts and traces; absent: only the heartbeats count. */
  readonly telemetry?: SessionTelemetry | undefined;
  /** Registered again under another id. */
  readonly onWorkerId?: ((id: string) => void) | undefined;
  readonly signal: AbortSignal;
}

export interface SessionTelemetry {
  readonly meters: readonly Meter[];
  /** Where Temporal's SDK shall serve its own metrics, on 127.0.0.1. */
  readonly temporalMetricsPort?: number | undefined;
}

export interface SessionWorker {
  readonly session: Session;
  readonly worker: HostedWorker;
  readonly counters: Readonly<WorkerCounters>;
  readonly heartbeat: Pick<HeartbeatLoop, 'counters' | 'lastAttemptAgeMs'>;
  /** What is true now of its connections and its work. Must not throw. */
  health(): SessionHealth;
  /** Resolves when this worker can get no work any more (its temporary queue is gone); else never. */
  readonly lost: Promise<LostSession>;
}

/** The server lists a worker by its first heartbeat: a moment, or something is wrong. */
const listedWithinMs = 10_000;
const listedPollMs = 50;
/** System information goes with the first heartbeat and then every five minutes. */
const fullHeartbeatEveryMs = 300_000;
const publisherStopMs = 5_000;
/** Calls that are told to stop get 8 s (worker/run.ts). */
const failedStartDrainMs = 10_000;

/** Registers, connects, beats, polls; resolves when all of it is true. Steps to undo it go into `teardown`. */
export async function startSessionWorker(options: SessionWorkerOptions, teardown: Teardown): Promise<SessionWorker> {
  const { config, scope, client, place } = options;
  const log = scope.log.child('worker');
  const { directory } = place;
  const systemInfo = createSystemInfoCollector({ version, workingDirectory: directory, dataDirectory: directory });
  const registering: RegistrationOptions = { ...options, journalDirectory: place.journalDirectory, systemInfo };
  const registration = await register(registering, scope.log, options.signal);
  const session = sessionOf(options, registration);
  const secrets = [session.temporal.apiKey, registration.litellm_api_key, registration.workflow_signing_key];
  for (const secret of secrets) if (secret) scope.redactor.register(secret);
  let end: { reason: 'shutdown' | 'error'; message?: string } = { reason: 'shutdown' };
  let workerId = (): string => session.workerId;
  let hasHadItsOne = (): boolean => false;
  if (config.worker.isOnce && registration.queue_ephemeral === true) {
    teardown.add('temporary queue', 6_000, async () => {
      if (hasHadItsOne()) await deleteQueue(client, session.queueId);
    });
  }
  teardown.add('disconnect', 6_000, () =>
    client.disconnectWorker(workerId(), {
      reason: end.reason,
      exit_code: end.reason === 'error' ? 1 : 0,
      error_message: end.message ?? null,
    }),
  );

  const engine = await options.engine;
  const meter = meterOf(options, teardown);
  const mcp = createMcpServers({
    spawner: options.scope.spawner,
    fetch: createFetch(config.network),
    onEvent: (message, fields) => log.info(message, fields),
  });
  teardown.add('MCP servers', mcpStopMs, () => mcp.stop());
  const { counters } = meter;
  const models = createSessionModels(config, registration);
  const host = hostOf(options, registration, { meter, models, mcp });
  const worker = await engine.startWorker(session, host, options.signal);
  log.info('Connected to Temporal', { address: session.temporal.address, namespace: session.temporal.namespace });
  hasHadItsOne = () => (worker.work().first?.end ?? null) !== null;
  const controlPlane = createControlPlaneHealth({ address: client.url, clock: systemClock, log: scope.log });
  const upkeep = createUpkeep({
    config,
    client,
    registration,
    worker,
    register: (signal) => registerOnce(registering, signal),
    clock: systemClock,
    log: scope.log,
    redactor: scope.redactor,
    onRegistered: (next) => {
      models.adopt(next);
      options.onWorkerId?.(next.worker_id);
    },
  });
  const heartbeat = beat(options, session, { worker, counters, systemInfo, controlPlane, upkeep });
  workerId = () => heartbeat.workerId();
  teardown.add('heartbeat', 2_000, () => heartbeat.stop());
  upkeep.watch(heartbeat);
  teardown.add('upkeep of the session', 2_000, () => upkeep.stop());
  teardown.add('events and journal', publisherStopMs + 3_000, () => worker.close(publisherStopMs));
  // It takes work from here on, and until it is handed over nobody else can stop what runs.
  let isHandedOver = false;
  teardown.add('worker', failedStartDrainMs, async () => void (isHandedOver || (await worker.drain(0))));
  void worker.ended.catch((error: unknown) => (end = { reason: 'error', message: messageOf(error) }));
  await listed(options, session, heartbeat);
  isHandedOver = true;
  const health = healthOf({ worker, heartbeat, controlPlane, upkeep }, config.worker.heartbeatIntervalMs);
  return { session, worker, counters, heartbeat, health, lost: upkeep.lost };
}

/** Told of everything that is over; the control plane hears of what it used. */
function meterOf(
  { client, scope, telemetry }: SessionWorkerOptions,
  teardown: Teardown,
): ReturnType<typeof createMeter> {
  const analytics = createAnalyticsReporter({
    send: (batch, signal) => client.publishAnalytics(batch, { signal, attemptsMax: 1 }),
    log: scope.log.child('analytics'),
  });
  teardown.add('analytics', analyticsStopMs + 1_000, () => analytics.stop(analyticsStopMs));
  return createMeter([...(telemetry?.meters ?? []), analytics]);
}

interface HealthParts extends Pick<BeatParts, 'controlPlane' | 'upkeep'> {
  readonly worker: HostedWorker;
  readonly heartbeat: HeartbeatLoop;
}

function healthOf(
  { worker, heartbeat, controlPlane, upkeep }: HealthParts,
  heartbeatIntervalMs: number,
): () => SessionHealth {
  return () => {
    const { isUp, since, reason, pollAgeMs } = worker.temporal();
    const facts = {
      controlPlane: controlPlane.view(),
      temporal: { address: upkeep.temporalAddress(), is_up: isUp, since, reason },
      heartbeatAgeMs: heartbeat.lastSuccessAgeMs() ?? null,
      pollAgeMs,
    };
    return {
      workerId: heartbeat.workerId(),
      ...facts,
      slots: worker.slots(),
      executions: worker.work().live,
      otherRssBytes: worker.stats().rssBytes ?? 0,
      notReadyReason: notReadyReason({ ...facts, heartbeatIntervalMs }),
      notLiveReason: notLiveReason(heartbeat.lastAttemptAgeMs(), heartbeatIntervalMs),
    };
  };
}

/** A temporary queue was made for one execution, which has ended. */
async function deleteQueue(client: ControlPlaneClient, queueId: string): Promise<void> {
  try {
    await client.deleteQueue(queueId);
  } catch (error) {
    // Whoever made it was faster.
    if (!isRefusedForGood(error)) throw error;
  }
}

/** What this process does for the Temporal side, wherever that runs. */
function hostOf(
  { scope, client, place, queue }: SessionWorkerOptions,
  registration: WorkerStartResponse,
  { meter, models, mcp }: { readonly meter: Meter; readonly models: SessionModels; readonly mcp: McpServers },
): WorkerHost {
  const address = models.gatewayAddress();
  if (address !== undefined) {
    const origin = describeOrigin({ kind: 'queue', name: queue.name });
    scope.log.info('Models are reached through the gateway that the control plane names', { address, origin });
  }
  return {
    controlPlane: client,
    sink: sinkOf(client, registration.supports_event_batches === true),
    models: models.models,
    defaultModel: models.defaultModel,
    checkModel: models.checkModel,
    mcp,
    spawner: scope.spawner,
    redactor: scope.redactor,
    log: scope.log.child('worker'),
    meter,
    journalDirectory: place.journalDirectory,
    guardian: scope.guardian.scope,
    directory: place.directory,
  };
}

function sessionOf(options: SessionWorkerOptions, registration: WorkerStartResponse): Session {
  const { activitiesMax, workflowsMax, reason } = chooseConcurrency(options.config.worker, readCgroupLimits());
  if (reason !== null) options.scope.log.info(reason);
  const { config, scope, queue, place } = options;
  const signingKey = registration.workflow_signing_key || undefined;
  const port = options.telemetry?.temporalMetricsPort;
  return {
    instanceId: scope.instanceId,
    workerId: registration.worker_id,
    queueId: queue.id,
    queueName: registration.queue_name ?? queue.name,
    taskQueue: registration.task_queue_name,
    journalId: journalIdentity(place.journalDirectory),
    temporal: temporalOf(config, registration),
    ...(signingKey === undefined ? {} : { signingKey: Buffer.from(signingKey, 'base64') }),
    isLocal: registration.is_local === true,
    concurrentActivitiesMax: activitiesMax,
    concurrentWorkflowsMax: workflowsMax,
    activityTimeoutMs: config.worker.activityTimeoutMs,
    ...(config.model === undefined ? {} : { modelOverride: config.model }),
    directories: { workspaces: place.workspaceDirectory, python: place.directory, cache: config.paths.cacheDirectory },
    toolEnvironment: scope.environment,
    ...(port === undefined ? {} : { temporalMetricsPort: port }),
  };
}

function sinkOf(client: ControlPlaneClient, hasBatches: boolean): EventSink {
  return {
    publishEvents: async (executionId, events, signal) => {
      const call = { signal, attemptsMax: 1 };
      if (hasBatches) {
        await client.publishEvents(executionId, events, call);
        return;
      }
      for (const event of events) await client.publishEvent(executionId, withoutId(event), call);
    },
    updateExecution: async (executionId, update, signal) =>
      void (await client.updateExecution(executionId, update, { signal, attemptsMax: 1 })),
    saveSession: async (executionId, session, signal) => {
      const answer = await client.saveSession(executionId, session, { signal, attemptsMax: 1 });
      if (!answer.success)
        throw new KubiyaError('The control plane did not keep the conversation', {
          kind: 'api_refused',
          code: 'session_not_kept',
        });
    },
  };
}

/** The cloud's route knows no event id. */
const withoutId = ({ event_type, data, timestamp }: WireEvent) => ({ event_type, data, timestamp });

interface BeatParts {
  readonly worker: HostedWorker;
  readonly counters: Readonly<WorkerCounters>;
  readonly systemInfo: SystemInfoCollector;
  readonly controlPlane: ControlPlaneHealth;
  readonly upkeep: Upkeep;
}

function beat(
  options: SessionWorkerOptions,
  session: Session,
  { worker, counters, systemInfo, controlPlane, upkeep }: BeatParts,
): HeartbeatLoop {
  const { client, config } = options;
  let nextFullMs = 0;
  const numbers = createWorkNumbers();
  // The first beat is made up while the loop is being made.
  let loop: Pick<HeartbeatLoop, 'counters'> = { counters: { sent: 0, failed: 0 } };
  return (loop = startHeartbeat({
    client,
    workerId: session.workerId,
    intervalMs: config.worker.heartbeatIntervalMs,
    payload: () => {
      const isFull = performance.now() >= nextFullMs;
      if (isFull) nextFullMs = performance.now() + fullHeartbeatEveryMs;
      return {
        status: 'active',
        ...currentTask(worker),
        tasks_processed: counters.executionsCompleted + counters.executionsFailed,
        worker_metadata: {
          version,
          instance_id: session.instanceId,
          rss_bytes: process.memoryUsage.rss() + (worker.stats().rssBytes ?? 0),
          ...numbers({
            counters,
            slots: worker.slots(),
            heartbeats: loop.counters,
            backlog: worker.temporal().backlog,
            eventsQueued: worker.stats().events.queued,
            other: worker.stats(),
          }),
        },
        ...(isFull
          ? { system_info: { ...systemInfo.collect(), hostname: config.worker.hostname || systemHostname() } }
          : {}),
        logs: [...options.logLines()],
      };
    },
    onUnknownWorker: (signal) => upkeep.onUnknownWorker(signal),
    onBeat: ({ error }) => controlPlane.noteBeat(error),
  }));
}

/** The execution that a worker with --once is for, else any that runs here. */
function currentTask(worker: RunningWorker): { current_task_id?: string } {
  const { first, live } = worker.work();
  const id = first !== null && first.end === null ? first.id : live[0];
  return id === undefined ? {} : { current_task_id: id };
}

/** Ready is true when the control plane lists this very worker: another one of the queue may be dead and still listed. */
async function listed(options: SessionWorkerOptions, session: Session, heartbeat: HeartbeatLoop): Promise<void> {
  await heartbeat.first;
  const deadline = performance.now() + listedWithinMs;
  for (;;) {
    const workers = await options.client.listQueueWorkers(session.queueId, { signal: options.signal });
    const own = heartbeat.workerId();
    if (workers.some((worker) => worker.id === own || worker.worker_id === own)) return;
    if (performance.now() > deadline) break;
    await systemClock.sleep(listedPollMs, options.signal);
  }
  throw new KubiyaError('The control plane does not list this worker although it registered', {
    kind: 'api_refused',
    code: 'worker_not_listed',
    hint: 'look at the control plane’s log; a second worker may have taken this registration over',
  });
}
