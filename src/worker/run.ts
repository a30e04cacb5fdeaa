// Runs the Temporal worker of a session: connects, polls, and walks down the drain ladder when told.
import { LoggerWithComposedMetadata } from '@temporalio/common';
import {
  DefaultLogger,
  NativeConnection,
  Runtime,
  Worker,
  type LogLevel,
  type NativeConnectionOptions,
} from '@temporalio/worker';
import { workflowBundle } from '#generated/workflow-bundle';
import { KubiyaError, messageOf } from '../errors.ts';
import { backoffDelayMs } from '../lib/backoff.ts';
import { createPayloadSignatureCodec } from '../lib/payload-signature.ts';
import { workerIdentity } from '../protocol/workflow.ts';
import type { Log } from '../telemetry/log.ts';
import { createActivities } from './activities/index.ts';
import type { Session, TemporalAddress, WorkerDeps } from './deps.ts';
import { connectionTuning, workerTuning } from './tuning.ts';

/** What the worker tells a status page or a heartbeat. */
export interface WorkerSlots {
  readonly used: number;
  readonly max: number;
}

export interface RunningWorker {
  /** Resolves when the worker has ended, rejects when it ended by a fault. */
  readonly ended: Promise<void>;
  /**
   * Stops polling and lets running calls finish for `limitMs`, then stops them (their executions go on elsewhere). `cancel`
   * shortens the limit to now.
   */
  drain(limitMs: number): Promise<{ readonly finished: number; readonly stopped: number }>;
  cancel(): void;
  slots(): WorkerSlots;
}

/** A restart of the dev server takes half a second, a failover of a cluster a few; a wrong address is to be told soon. */
const connectLimitMs = 10_000;
const connectBackoff = { firstMs: 250, mostMs: 2_000 };
/** Calls that were told to stop get this long for TERM, 2 s of grace, KILL and their last journal record. */
const stopLimitMs = 8_000;
/** The drain ladder decides when calls stop, not the SDK; a day is for ever here. */
const sdkGraceMs = 24 * 60 * 60 * 1000;

/** Resolves when the worker polls. Throws a KubiyaError when Temporal cannot be reached or refuses, else the signal's reason. */
export async function startWorker(session: Session, deps: WorkerDeps, signal: AbortSignal): Promise<RunningWorker> {
  installRuntime(deps.log);
  const connection = await connect(session, deps, signal);
  let worker: Worker;
  try {
    worker = await createWorker(session, deps, connection);
  } catch (error) {
    await connection.close();
    throw connectionError(session.temporal, error);
  }
  const ended = runAndClose(worker, connection);
  ended.catch(() => undefined); // the owner of `ended` decides; until then it is no unhandled rejection
  return {
    ended,
    ...createLadder(worker, ended, deps),
    slots: () => ({ used: deps.calls.liveCount, max: session.concurrentActivitiesMax }),
  };
}

async function runAndClose(worker: Worker, connection: NativeConnection): Promise<void> {
  try {
    await worker.run();
  } finally {
    await connection.close();
  }
}

/** The runtime is one per process; in a test or an `exec --local` with several workers the first one's log is used. */
function installRuntime(log: Log): void {
  if (isRuntimeInstalled()) return;
  const logger = new DefaultLogger('INFO', ({ level, message, meta }) =>
    write(log.child('temporal'), level, message, meta),
  );
  // The SDK gathers the facts for a dozen such lines a turn, a millisecond, before the logger's level drops them.
  LoggerWithComposedMetadata.prototype.trace = ignore;
  LoggerWithComposedMetadata.prototype.debug = ignore;
  Runtime.install({
    logger,
    shutdownSignals: [],
    telemetryOptions: { logging: { forward: {}, filter: 'temporalio_sdk_core=WARN,temporalio_client=WARN,ERROR' } },
  });
}

function ignore(): void {
  // Below the level of our log.
}

function isRuntimeInstalled(): boolean {
  return '_instance' in Runtime && Runtime._instance !== undefined;
}

/** During an outage Core repeats itself many times a second (temporal.md §1.3): those lines are for debugging. */
const outageNoise = /retried \d+ times|Task not found when completing/;

function write(log: Log, level: LogLevel, message: string, meta: Record<string, unknown> | undefined): void {
  const fields = meta?.['error'] === undefined ? {} : { reason: messageOf(meta['error']) };
  if (level === 'ERROR') log.error(message, fields);
  else if (level === 'WARN' && !outageNoise.test(message)) log.warn(message, fields);
  else log.debug(message, fields);
}

/** Whoever registered us also keeps Temporal alive, so that it is away means that it is being started again. */
async function connect(
  { temporal, isLocal }: Session,
  { log, clock }: WorkerDeps,
  signal: AbortSignal,
): Promise<NativeConnection> {
  const limit = clock.elapsed() + connectLimitMs;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await NativeConnection.connect({
        ...connectionOptions(temporal),
        ...connectionTuning(isLocal),
      });
    } catch (error) {
      const failure = connectionError(temporal, error);
      const delayMs = backoffDelayMs(attempt, connectBackoff);
      if (!failure.isRetryable || clock.elapsed() + delayMs > limit) throw failure;
      log.warn('Temporal could not be reached, trying again', { attempt, delay_ms: delayMs });
      await clock.sleep(delayMs, signal);
    }
  }
}

function connectionOptions(temporal: TemporalAddress): NativeConnectionOptions {
  const { proxy, apiKey, caCertificate } = temporal;
  const ca = caCertificate === undefined ? true : { serverRootCACertificate: Buffer.from(caCertificate) };
  const credentials = proxy?.user === undefined ? undefined : { username: proxy.user, password: proxy.password ?? '' };
  return {
    address: temporal.address,
    // An API key alone would imply TLS; a key-less address is plaintext unless it says otherwise.
    tls: temporal.isTls ? ca : false,
    ...(apiKey === undefined ? {} : { apiKey, metadata: { 'temporal-namespace': temporal.namespace } }),
    ...(proxy === undefined
      ? {}
      : {
          proxy: {
            type: 'http-connect',
            targetHost: proxy.address,
            ...(credentials === undefined ? {} : { basicAuth: credentials }),
          },
        }),
  };
}

function createWorker(session: Session, deps: WorkerDeps, connection: NativeConnection): Promise<Worker> {
  const codec = session.signingKey === undefined ? undefined : createPayloadSignatureCodec(session.signingKey);
  return Worker.create({
    connection,
    namespace: session.temporal.namespace,
    taskQueue: session.taskQueue,
    identity: workerIdentity(session.workerId),
    workflowBundle: { code: workflowBundle },
    activities: { ...createActivities(session, deps) },
    ...(codec === undefined ? {} : { dataConverter: { payloadCodecs: [codec] } }),
    maxConcurrentActivityTaskExecutions: session.concurrentActivitiesMax,
    maxConcurrentWorkflowTaskExecutions: Math.max(2, session.concurrentWorkflowsMax),
    ...workerTuning(session.isLocal),
    shutdownGraceTime: sdkGraceMs,
  });
}

function createLadder(worker: Worker, ended: Promise<void>, deps: WorkerDeps): Pick<RunningWorker, 'drain' | 'cancel'> {
  const cancelled = new AbortController();
  return {
    cancel: () => cancelled.abort(),
    drain: async (limitMs) => {
      const running = deps.calls.liveCount;
      if (worker.getState() === 'RUNNING') worker.shutdown();
      const drained = ended.catch(() => undefined);
      const over = deps.clock.sleep(limitMs, cancelled.signal).catch(() => undefined);
      await Promise.race([drained, over]);
      const stopped = deps.calls.liveCount;
      deps.calls.stopAll('drain');
      await Promise.race([drained, deps.clock.sleep(stopLimitMs)]);
      return { finished: running - stopped, stopped };
    },
  };
}

function connectionError(temporal: TemporalAddress, error: unknown): KubiyaError {
  const text = `${messageOf(error)} ${error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : ''}`;
  const common = { cause: error, isRetryable: false };
  if (/Unauthenticated|PermissionDenied|permission|unauthorized/i.test(text)) {
    return new KubiyaError(`Temporal at ${temporal.address} refused this worker's credentials`, {
      ...common,
      kind: 'authentication',
      code: 'temporal_refused',
      hint: 'register again; if it persists the control plane hands out an expired key',
    });
  }
  if (/namespace/i.test(text)) {
    return new KubiyaError(`Temporal at ${temporal.address} does not know the namespace ${temporal.namespace}`, {
      ...common,
      kind: 'configuration',
      code: 'temporal_namespace_unknown',
      hint: 'create the namespace, or give the one that exists',
    });
  }
  const isPlaintextPort = text.includes('InvalidContentType');
  return new KubiyaError(`Temporal at ${temporal.address} could not be reached`, {
    ...common,
    kind: 'network',
    code: 'temporal_unreachable',
    hint: isPlaintextPort
      ? 'the port answers without TLS: leave TLS off for it'
      : 'check the address, the proxy and the certificate authority; `kubiya config show` prints what is used',
    isRetryable: !isPlaintextPort,
  });
}
