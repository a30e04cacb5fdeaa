// The connection to Temporal: its options, the first attempts, a look at the task queue over it, and its failures as sentences.
import { temporal as proto } from '@temporalio/proto';
import { NativeConnection, type NativeConnectionOptions } from '@temporalio/worker';
import { KubiyaError, messageOf } from '../errors.ts';
import { backoffDelayMs } from '../lib/backoff.ts';
import { workerIdentity } from '../protocol/workflow.ts';
import type { Session, TemporalAddress, WorkerDeps } from './deps.ts';
import type { TaskQueueView } from './temporal-watch.ts';
import { connectionTuning } from './tuning.ts';

/** A restart of the dev server takes half a second, a failover of a cluster a few; a wrong address is to be told soon. */
const connectLimitMs = 10_000;
const connectBackoff = { firstMs: 250, mostMs: 2_000 };

/** Whoever registered us also keeps Temporal alive, so that it is away means that it is being started again. */
export async function connect(
  session: Session,
  temporal: TemporalAddress,
  { log, clock }: Pick<WorkerDeps, 'log' | 'clock'>,
  signal: AbortSignal,
): Promise<NativeConnection> {
  const limit = clock.elapsed() + connectLimitMs;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await connectOnce(session, temporal);
    } catch (error) {
      const failure = connectionError(temporal, error);
      const delayMs = backoffDelayMs(attempt, connectBackoff);
      if (!failure.isRetryable || clock.elapsed() + delayMs > limit) throw failure;
      log.warn('Temporal could not be reached, trying again', { attempt, delay_ms: delayMs });
      await clock.sleep(delayMs, signal);
    }
  }
}

/** Throws what the SDK throws. */
export function connectOnce({ isLocal }: Session, temporal: TemporalAddress): Promise<NativeConnection> {
  return NativeConnection.connect({ ...connectionOptions(temporal), ...connectionTuning(isLocal) });
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

const { TASK_QUEUE_TYPE_WORKFLOW, TASK_QUEUE_TYPE_ACTIVITY } = proto.api.enums.v1.TaskQueueType;
const taskQueueTypes = [TASK_QUEUE_TYPE_WORKFLOW, TASK_QUEUE_TYPE_ACTIVITY];

/** What the identities of our workers begin with. */
const ourIdentity = workerIdentity('');
/** Temporal lists a poller for five minutes; one that lives has polled within the minute, by Temporal's clock as we have. */
const strangerWithinMs = 60_000;

/** When this worker last polled for either kind of task (full slots stop one of them), and what waits. */
export async function lookAtTaskQueue(
  connection: NativeConnection,
  session: Session,
  limitMs: number,
): Promise<TaskQueueView & { readonly strangers: readonly string[] }> {
  const identity = workerIdentity(session.workerId);
  const views = await connection.withDeadline(Date.now() + limitMs, () =>
    Promise.all(
      taskQueueTypes.map((taskQueueType) =>
        connection.workflowService.describeTaskQueue({
          namespace: session.temporal.namespace,
          taskQueue: { name: session.taskQueue },
          taskQueueType,
          reportStats: true,
        }),
      ),
    ),
  );
  const seen = views.flatMap(({ pollers }) =>
    (pollers ?? []).map(({ identity: name, lastAccessTime: at }) => ({
      name: name ?? '',
      atMs: Number(at?.seconds ?? 0) * 1000 + Math.floor((at?.nanos ?? 0) / 1e6),
    })),
  );
  const polls = seen.filter(({ name }) => name === identity).map(({ atMs }) => atMs);
  const newestMs = Math.max(0, ...polls);
  const strangers = seen.filter(
    ({ name, atMs }) => !name.startsWith(ourIdentity) && newestMs - atMs < strangerWithinMs,
  );
  const waiting = views.flatMap(({ stats }) => (stats ? [Number(stats.approximateBacklogCount ?? 0)] : []));
  return {
    lastPollAtMs: polls.length === 0 ? undefined : Math.max(...polls),
    strangers: newestMs === 0 ? [] : [...new Set(strangers.map(({ name }) => name))],
    backlog: waiting.length === 0 ? undefined : waiting.reduce((sum, count) => sum + count, 0),
  };
}

/** Since somebody began to poll a queue for activities; infinite when nobody has in the minutes that Temporal remembers. */
export async function lastPollAgeMs(
  connection: NativeConnection,
  namespace: string,
  taskQueue: string,
): Promise<number> {
  const { pollers } = await connection.withDeadline(Date.now() + pollersLimitMs, () =>
    connection.workflowService.describeTaskQueue({
      namespace,
      taskQueue: { name: taskQueue },
      taskQueueType: TASK_QUEUE_TYPE_ACTIVITY,
    }),
  );
  const times = pollers.map(({ lastAccessTime: at }) => Number(at?.seconds ?? 0) * 1000);
  return Date.now() - Math.max(-Infinity, ...times);
}

/** The workflow waits for the answer; without one the worker that is asked about counts as alive. */
const pollersLimitMs = 5_000;

export function connectionError(temporal: TemporalAddress, error: unknown): KubiyaError {
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
