// A Temporal worker that polls for as long as it is wanted: when its connection is lost for good, another one takes its place.
import { Worker, type NativeConnection } from '@temporalio/worker';
import { workflowBundle } from '#generated/workflow-bundle';
import { KubiyaError, messageOf } from '../errors.ts';
import { backoffDelayMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { createPayloadSignatureCodec } from '../lib/payload-signature.ts';
import { workerIdentity } from '../protocol/workflow.ts';
import { createActivities } from './activities/index.ts';
import { connect, connectionError, connectOnce } from './connection.ts';
import type { Session, TemporalAddress, WorkerDeps } from './deps.ts';
import { workerTuning } from './tuning.ts';

export interface Polling {
  /** Resolves when it was told to stop and everything taken is done; rejects when it ended by a fault that another connection does not mend. */
  readonly ended: Promise<void>;
  readonly connection: NativeConnection;
  /** Takes nothing new. May be called again. */
  stop(): void;
  /** Goes on with another key or address of the same namespace. Rejects when that cannot be reached. */
  renew(temporal: TemporalAddress): Promise<void>;
}

/** The drain ladder decides when calls stop, not the SDK; a day is for ever here. */
const sdkGraceMs = 24 * 60 * 60 * 1000;
/** Between attempts to poll again; an outage has no limit. */
const reopenBackoff = { firstMs: 1_000, mostMs: 30_000 };
/** A worker that polled for so long has not failed for the same reason as the one before. */
const soundMs = 60_000;
/** So many workers in a row that fail although Temporal takes their connection are no outage. */
const faultsMax = 5;
/** A failed worker may never say that it is done: it waits for activities whose results nobody takes any more. */
const stateLookMs = 1_000;

/** Resolves when the worker polls. Throws a KubiyaError when Temporal cannot be reached or refuses, else the signal's reason. */
export async function startPolling(session: Session, deps: WorkerDeps, signal: AbortSignal): Promise<Polling> {
  const { log, clock } = deps;
  const stopping = new AbortController();
  let { temporal } = session;
  let connection = await connect(session, temporal, deps, signal);
  let worker = await createWorker(session, deps, connection, temporal);
  let renewed = new AbortController();

  const reopen = async (faults: number): Promise<boolean> => {
    for (let attempt = faults; !stopping.signal.aborted; attempt += 1) {
      renewed = new AbortController();
      const nap = AbortSignal.any([stopping.signal, renewed.signal]);
      await clock.sleep(backoffDelayMs(attempt, reopenBackoff), nap).catch(() => undefined);
      if (stopping.signal.aborted) break;
      try {
        connection = await connectOnce(session, temporal);
        worker = await createWorker(session, deps, connection, temporal);
        log.info('Polling Temporal again', { address: temporal.address, attempt });
        return true;
      } catch (error) {
        log.debug('Temporal cannot be polled yet', { attempt, reason: messageOf(error) });
      }
    }
    return false;
  };
  const run = async (): Promise<void> => {
    for (let faults = 1; ; faults += 1) {
      const startedMs = clock.elapsed();
      try {
        await runOnce(worker, clock, stopping.signal);
        return;
      } catch (error) {
        if (stopping.signal.aborted) return;
        if (clock.elapsed() - startedMs > soundMs) faults = 1;
        if (faults >= faultsMax) throw error;
        log.warn('Polling Temporal has failed and begins anew; running calls go on', { reason: messageOf(error) });
      } finally {
        // What is left of a failed worker may still hold it.
        await connection.close().catch(() => undefined);
      }
      if (!(await reopen(faults))) return;
    }
  };
  const ended = run();
  ended.catch(() => undefined); // the owner of `ended` decides; until then it is no unhandled rejection
  return {
    ended,
    get connection() {
      return connection;
    },
    stop: () => {
      stopping.abort();
      if (worker.getState() === 'RUNNING') worker.shutdown();
    },
    renew: async (next) => {
      refuseOtherNamespace(temporal, next);
      const isSamePlace = next.address === temporal.address && next.isTls === temporal.isTls;
      const old = connection;
      if (worker.getState() !== 'RUNNING') {
        temporal = next;
        renewed.abort(); // the next attempt takes it
      } else if (isSamePlace && next.apiKey !== undefined) {
        await old.setApiKey(next.apiKey);
        temporal = next;
      } else {
        const other = await connect(session, next, deps, stopping.signal);
        temporal = next;
        connection = other;
        worker.connection = other;
        await old.close();
      }
    },
  };
}

/** Resolves when the worker was told to stop and is done; rejects as soon as it has failed. */
async function runOnce(worker: Worker, clock: Clock, stopping: AbortSignal): Promise<void> {
  const over = new AbortController();
  const watched = async (): Promise<void> => {
    while (worker.getState() !== 'FAILED') await clock.sleep(stateLookMs, over.signal);
    throw new Error('the worker of the Temporal SDK has failed');
  };
  const running = worker.run();
  running.catch(() => undefined); // may come long after its failure was seen
  if (stopping.aborted) worker.shutdown();
  try {
    await Promise.race([running, watched()]);
  } finally {
    over.abort();
  }
}

function refuseOtherNamespace(now: TemporalAddress, next: TemporalAddress): void {
  if (next.namespace === now.namespace) return;
  throw new KubiyaError(
    `the control plane has moved this queue from the namespace ${now.namespace} to ${next.namespace}`,
    {
      kind: 'configuration',
      code: 'temporal_namespace_changed',
      hint: 'start the worker again',
    },
  );
}

/** Closes the connection when there can be no worker. */
async function createWorker(
  session: Session,
  deps: WorkerDeps,
  connection: NativeConnection,
  temporal: TemporalAddress,
): Promise<Worker> {
  const codec = session.signingKey === undefined ? undefined : createPayloadSignatureCodec(session.signingKey);
  try {
    return await Worker.create({
      connection,
      namespace: temporal.namespace,
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
  } catch (error) {
    await connection.close();
    throw connectionError(temporal, error);
  }
}
