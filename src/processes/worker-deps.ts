// What a Temporal worker is built of, in whichever process it runs: the journal, the publisher and the calls beside it, the host's side behind it.
import { createPublisher, type EventSink, type Publisher, type PublisherCounters } from '../controlplane/publisher.ts';
import type { ControlPlaneClient } from '../controlplane/client.ts';
import { messageOf } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import type { Spawner, SpawnScope } from '../lib/spawn.ts';
import type { Log } from '../telemetry/log.ts';
import type { Meter } from '../telemetry/meter.ts';
import type { Redactor } from '../telemetry/redact.ts';
import { createCallRegistry } from '../worker/calls.ts';
import type { Session, WorkerDeps } from '../worker/deps.ts';
import { createExecutionTracker } from '../worker/executions.ts';
import { createJournal, type Journal } from '../worker/journal.ts';
import type { RunningWorker } from '../worker/run.ts';
import { createSoleJournalProof } from '../worker/sole-journal.ts';

/** What the process that registered a worker does for it: models, the control plane and the log stay there. */
export interface WorkerHost extends Pick<WorkerDeps, 'models' | 'defaultModel' | 'checkModel' | 'mcp'> {
  readonly controlPlane: WorkerDeps['controlPlane'] & Pick<ControlPlaneClient, 'listKnownQueueWorkers'>;
  readonly sink: EventSink;
  readonly spawner: Spawner;
  readonly redactor: Redactor;
  /** Of the component `worker`. */
  readonly log: Log;
  readonly meter: Meter;
  /** Absolute path of an existing directory that no other live worker writes into. */
  readonly journalDirectory: string;
  /** For a Temporal side in another process: told of the process groups that it starts. */
  readonly guardian: Pick<SpawnScope, 'onStart' | 'onEnd'>;
  /** Where that process keeps its own record of them. */
  readonly directory: string;
}

export interface HostedWorker extends RunningWorker {
  /** What only this side knows; the rest is told to the host's meter. Must not throw. */
  stats(): HostedStats;
  /** After the drain: delivers for at most `publishLimitMs` what is undelivered, then closes the journal. */
  close(publishLimitMs: number): Promise<void>;
}

/** Plain data: it may come from another process, and then be a second old. */
export interface HostedStats {
  readonly events: Readonly<PublisherCounters>;
  readonly modelCallsRepaid: number;
  /** Resident memory of the process that hosts it; absent when that is this one. */
  readonly rssBytes?: number;
  /** What it has used of the processor since its start; absent as well. */
  readonly cpuMicroseconds?: number;
}

/** Where the Temporal side runs: in this process, or in Node. */
export interface TemporalEngine {
  /** Resolves when the worker polls. Throws a KubiyaError, with nothing left behind. */
  startWorker(session: Session, host: WorkerHost, signal: AbortSignal): Promise<HostedWorker>;
}

export type StartWorker = (session: Session, deps: WorkerDeps, signal: AbortSignal) => Promise<RunningWorker>;

/** The whole Temporal side of a session. Throws what `start` throws, with nothing left open. */
export async function startHostedWorker(
  { start, session, host }: { readonly start: StartWorker; readonly session: Session; readonly host: WorkerHost },
  signal: AbortSignal,
): Promise<HostedWorker> {
  const journal = await createJournal(host.journalDirectory, Date.now());
  const publisher = createPublisher({
    directory: host.journalDirectory,
    sink: host.sink,
    log: host.log.child('events'),
  });
  const close = async (publishLimitMs: number): Promise<void> => {
    await publisher.stop(publishLimitMs);
    await journal.close();
  };
  const deps = createWorkerDeps(host, session, { journal, publisher });
  try {
    const stats = (): HostedStats => ({ events: publisher.counters, modelCallsRepaid: deps.calls.repaidCount });
    return { ...(await start(session, deps, signal)), stats, close };
  } catch (error) {
    await close(0);
    throw error;
  }
}

function createWorkerDeps(
  host: WorkerHost,
  session: Session,
  { journal, publisher }: { readonly journal: Journal; readonly publisher: Publisher },
): WorkerDeps {
  const { controlPlane, models, defaultModel, checkModel, mcp, spawner, redactor, log, meter } = host;
  const calls = createCallRegistry(journal, {
    onJournalError: (error) => log.error('The journal could not be written', { reason: messageOf(error) }),
    isSoleJournal: createSoleJournalProof({
      client: controlPlane,
      queueId: session.queueId,
      journalId: session.journalId,
      now: () => systemClock.now(),
    }),
    runningMax: session.concurrentActivitiesMax,
  });
  return {
    controlPlane,
    models,
    defaultModel,
    checkModel,
    mcp,
    publisher,
    journal,
    calls,
    executions: createExecutionTracker(() => systemClock.elapsed()),
    spawner,
    redactor,
    log,
    clock: systemClock,
    meter,
  };
}
