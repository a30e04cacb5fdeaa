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
  const connection = await connect(session, session.temporal, deps, signal);
  const worker = await createWorker(session, deps, connection, session.temporal);
  return new LastingPolling(session, deps, { connection, worker });
}

interface Line {
  readonly connection: NativeConnection;
  readonly worker: Worker;
}

/** Lives until it is told to stop, over as many connections as that takes. */
class LastingPolling implements Polling {
  readonly ended: Promise<void>;
  readonly #session: Session;
  readonly #deps: WorkerDeps;
  readonly #stopping = new AbortController();
  #line: Line;
  #temporal: TemporalAddress;
  #renewed = new AbortController();

  constructor(session: Session, deps: WorkerDeps, line: Line) {
    this.#session = session;
    this.#deps = deps;
    this.#line = line;
    this.#temporal = session.temporal;
    this.ended = this.#run();
    this.ended.catch(() => undefined); // the owner of `ended` decides; until then it is no unhandled rejection
  }

  get connection(): NativeConnection {
    return this.#line.connection;
  }

  stop(): void {
    this.#stopping.abort();
    if (this.#line.worker.getState() === 'RUNNING') this.#line.worker.shutdown();
  }

  async renew(next: TemporalAddress): Promise<void> {
    refuseOtherNamespace(this.#temporal, next);
    const { worker, connection } = this.#line;
    const isSamePlace = next.address === this.#temporal.address && next.isTls === this.#temporal.isTls;
    if (worker.getState() !== 'RUNNING') {
      this.#renewed.abort(); // the next attempt takes it
    } else if (isSamePlace && next.apiKey !== undefined) {
      await connection.setApiKey(next.apiKey);
    } else {
      const other = await connect(this.#session, next, this.#deps, this.#stopping.signal);
      worker.connection = other;
      this.#line = { connection: other, worker };
      await connection.close();
    }
    this.#temporal = next;
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#deps;
    for (let faults = 1; ; faults += 1) {
      const startedMs = clock.elapsed();
      try {
        await runOnce(this.#line.worker, clock, this.#stopping.signal);
        return;
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        if (clock.elapsed() - startedMs > soundMs) faults = 1;
        if (faults >= faultsMax) throw error;
        log.warn('Polling Temporal has failed and begins anew; running calls go on', { reason: messageOf(error) });
      } finally {
        // What is left of a failed worker may still hold it.
        await this.connection.close().catch(() => undefined);
      }
      const line = await this.#reopen(faults);
      if (line === undefined) return;
      this.#line = line;
    }
  }

  /** Undefined when it was told to stop. */
  async #reopen(faults: number): Promise<Line | undefined> {
    const { clock, log } = this.#deps;
    const { signal } = this.#stopping;
    for (let attempt = faults; !signal.aborted; attempt += 1) {
      this.#renewed = new AbortController();
      const nap = AbortSignal.any([signal, this.#renewed.signal]);
      await clock.sleep(backoffDelayMs(attempt, reopenBackoff), nap).catch(() => undefined);
      if (signal.aborted) return undefined;
      const temporal = this.#temporal;
      try {
        const connection = await connectOnce(this.#session, temporal);
        const worker = await createWorker(this.#session, this.#deps, connection, temporal);
        log.info('Polling Temporal again', { address: temporal.address, attempt });
        return { connection, worker };
      } catch (error) {
        log.debug('Temporal cannot be polled yet', { attempt, reason: messageOf(error) });
      }
    }
    return undefined;
  }
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
