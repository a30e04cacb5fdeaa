// Polls Temporal, the shared queue and this worker's own, for as long as it is wanted: a connection lost for good is replaced.
import { Worker, type NativeConnection, type WorkerOptions } from '@temporalio/worker';
import { workflowBundle } from '#generated/workflow-bundle';
import { KubiyaError, messageOf } from '../errors.ts';
import { backoffDelayMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { createPayloadSignatureCodec } from '../lib/payload-signature.ts';
import { workerIdentity, workerTaskQueue } from '../protocol/workflow.ts';
import { createActivities } from './activities/index.ts';
import type { CallToolInput } from './activities/types.ts';
import { connect, connectionError, connectOnce, lastPollAgeMs } from './connection.ts';
import type { Session, TemporalAddress, WorkerDeps } from './deps.ts';
import { createSlotBudget } from './slots.ts';
import { workerTuning } from './tuning.ts';

export interface Polling {
  /** Resolves when it was told to stop and everything taken is done; rejects when it ended by a fault that another connection does not mend. */
  readonly ended: Promise<void>;
  readonly connection: NativeConnection;
  /** `host:port` of the Temporal that is used now. */
  readonly address: string;
  /** Takes nothing new. May be called again. */
  stop(): void;
  /** Goes on with another key or address of the same namespace. Rejects when that cannot be reached. */
  renew(temporal: TemporalAddress): Promise<void>;
}

/** The SDK's default. */
const localActivitiesMax = 100;
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
  return new LastingPolling(session, deps, await createLine(session, deps, connection, session.temporal));
}

/** One for the shared queue (workflows and model calls), one for this worker's own (tool calls of what it holds). */
interface Line {
  readonly connection: NativeConnection;
  readonly workers: readonly Worker[];
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

  get address(): string {
    return this.#temporal.address;
  }

  get connection(): NativeConnection {
    return this.#line.connection;
  }

  stop(): void {
    this.#stopping.abort();
    shutDown(this.#line);
  }

  async renew(next: TemporalAddress): Promise<void> {
    refuseOtherNamespace(this.#temporal, next);
    const line = this.#line;
    if (isRunning(line)) await this.#move(line, this.#temporal, next);
    this.#temporal = next;
    this.#renewed.abort(); // an attempt to poll again takes it
  }

  /** Rejects, with the line as it was, when that cannot be reached. */
  async #move(line: Line, from: TemporalAddress, to: TemporalAddress): Promise<void> {
    const isSamePlace = to.address === from.address && to.isTls === from.isTls;
    if (isSamePlace && to.apiKey !== undefined) {
      await line.connection.setApiKey(to.apiKey);
      return;
    }
    const connection = await connect(this.#session, to, this.#deps, this.#stopping.signal);
    if (line !== this.#line) {
      await connection.close(); // it has failed meanwhile, and the next one is made with what is said now
      return;
    }
    for (const worker of line.workers) worker.connection = connection;
    this.#line = { connection, workers: line.workers };
    await line.connection.close();
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#deps;
    for (let faults = 1; ; faults += 1) {
      const startedMs = clock.elapsed();
      try {
        await runOnce(this.#line, clock, this.#stopping.signal);
        return;
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        if (clock.elapsed() - startedMs > soundMs) faults = 1;
        if (faults >= faultsMax) throw error;
        log.warn('Polling Temporal has failed and begins anew; running calls go on', { reason: messageOf(error) });
      } finally {
        shutDown(this.#line);
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
        const line = await createLine(this.#session, this.#deps, connection, temporal);
        log.info('Polling Temporal again', { address: temporal.address, attempt });
        return await this.#caughtUp(line, temporal);
      } catch (error) {
        log.debug('Temporal cannot be polled yet', { attempt, reason: messageOf(error) });
      }
    }
    return undefined;
  }

  /** The line, which does not poll yet, with what was said while it was made. */
  async #caughtUp(line: Line, made: TemporalAddress): Promise<Line> {
    this.#line = line;
    for (let from = made; from !== this.#temporal;) {
      const to = this.#temporal;
      await this.#move(this.#line, from, to);
      from = to;
    }
    return this.#line;
  }
}

/** Resolves when the workers were told to stop and are done; rejects as soon as one has failed. */
async function runOnce({ workers }: Line, clock: Clock, stopping: AbortSignal): Promise<void> {
  const over = new AbortController();
  const watched = async (): Promise<void> => {
    while (!workers.some((worker) => worker.getState() === 'FAILED')) await clock.sleep(stateLookMs, over.signal);
    throw new Error('the worker of the Temporal SDK has failed');
  };
  const running = Promise.all(workers.map((worker) => worker.run()));
  running.catch(() => undefined); // may come long after its failure was seen
  if (stopping.aborted) for (const worker of workers) worker.shutdown();
  try {
    await Promise.race([running, watched()]);
  } finally {
    over.abort();
  }
}

function isRunning({ workers }: Line): boolean {
  return workers.every((worker) => worker.getState() === 'RUNNING');
}

function shutDown({ workers }: Line): void {
  for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
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
async function createLine(
  session: Session,
  deps: WorkerDeps,
  connection: NativeConnection,
  temporal: TemporalAddress,
): Promise<Line> {
  const codec = session.signingKey === undefined ? undefined : createPayloadSignatureCodec(session.signingKey);
  const budget = createSlotBudget(session.concurrentActivitiesMax);
  const workers: Worker[] = [];
  // The worker's connection is another one after a move.
  const lastPollAge = (taskQueue: string): Promise<number> =>
    lastPollAgeMs(workers[0]?.connection ?? connection, temporal.namespace, taskQueue);
  const activities = createActivities(session, deps, lastPollAge);
  const create = (options: Partial<WorkerOptions> & Pick<WorkerOptions, 'taskQueue'>): Promise<Worker> =>
    Worker.create({
      connection,
      namespace: temporal.namespace,
      identity: workerIdentity(session.workerId),
      ...(codec === undefined ? {} : { dataConverter: { payloadCodecs: [codec] } }),
      ...workerTuning(session.isLocal),
      tuner: {
        activityTaskSlotSupplier: budget.forQueue(),
        workflowTaskSlotSupplier: fixedSlots(Math.max(2, session.concurrentWorkflowsMax)),
        localActivityTaskSlotSupplier: fixedSlots(localActivitiesMax),
        nexusTaskSlotSupplier: fixedSlots(1),
      },
      shutdownGraceTime: sdkGraceMs,
      ...options,
    });
  try {
    // The own one first: what this worker prepares is sent there.
    workers.push(
      await create({
        taskQueue: workerTaskQueue(session.taskQueue, session.journalId),
        activities: { callTool: (input: CallToolInput) => activities.callTool(input) },
      }),
      await create({
        taskQueue: session.taskQueue,
        workflowBundle: { code: workflowBundle },
        activities: { ...activities },
      }),
    );
    return { connection, workers };
  } catch (error) {
    await connection.close();
    throw connectionError(temporal, error);
  }
}

const fixedSlots = (numSlots: number) => ({ type: 'fixed-size', numSlots }) as const;
