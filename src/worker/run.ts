// Runs the Temporal worker of a session: connects, polls, and walks down the drain ladder when told.
import { lookAtTaskQueue } from './connection.ts';
import type { Session, TemporalAddress, WorkerDeps } from './deps.ts';
import type { ExecutionEnd, WorkSnapshot } from './executions.ts';
import { startPolling, type Polling } from './polling.ts';
import { installRuntime } from './runtime.ts';
import {
  localWatchIntervalMs,
  remoteWatchIntervalMs,
  startTemporalWatch,
  type TemporalHealth,
  type TemporalWatch,
} from './temporal-watch.ts';

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
  /** What Temporal said when it was last asked. */
  temporal(): TemporalHealth;
  work(): WorkSnapshot;
  /** The control plane says that this execution has ended, which the worker was not told. */
  settle(executionId: string, end: ExecutionEnd): void;
  /** Goes on with another key or address of the same namespace. Rejects when that cannot be reached. */
  renew(temporal: TemporalAddress): Promise<void>;
  /** Time has jumped: looks at Temporal now. */
  wake(): void;
}

/** Calls that were told to stop get this long for TERM, 2 s of grace, KILL and their last journal record. */
const stopLimitMs = 8_000;
const liveLookMs = 100;

/** Resolves when the worker polls. Throws a KubiyaError when Temporal cannot be reached or refuses, else the signal's reason. */
export async function startWorker(session: Session, deps: WorkerDeps, signal: AbortSignal): Promise<RunningWorker> {
  installRuntime({ log: deps.log, metricsPort: session.temporalMetricsPort });
  const { log, clock, calls, executions } = deps;
  const polling = await startPolling(session, deps, signal);
  const sayStrangers = createStrangerNotice(log);
  const watch = startTemporalWatch({
    look: async (limitMs) => {
      const view = await lookAtTaskQueue(polling.connection, session, limitMs);
      sayStrangers(view.strangers);
      return view;
    },
    intervalMs: session.isLocal ? localWatchIntervalMs : remoteWatchIntervalMs,
    address: () => polling.address,
    clock,
    log,
  });
  const ended = endOf(polling, watch);
  ended.catch(() => undefined); // the owner of `ended` decides; until then it is no unhandled rejection
  return {
    ended,
    ...createLadder(polling, ended, deps),
    // One that was taken and waits for its turn uses none.
    slots: () => ({
      used: Math.min(calls.liveCount, session.concurrentActivitiesMax),
      max: session.concurrentActivitiesMax,
    }),
    temporal: () => watch.health(),
    work: () => executions.snapshot(calls.liveExecutions()),
    settle: (id, end) => executions.settled(id, end),
    renew: async (temporal) => {
      await polling.renew(temporal);
      watch.wake();
    },
    wake: () => watch.wake(),
  };
}

async function endOf(polling: Polling, watch: TemporalWatch): Promise<void> {
  try {
    await polling.ended;
  } finally {
    await watch.stop();
  }
}

function createLadder(
  polling: Polling,
  ended: Promise<void>,
  deps: WorkerDeps,
): Pick<RunningWorker, 'drain' | 'cancel'> {
  const cancelled = new AbortController();
  const { calls, clock } = deps;
  return {
    cancel: () => cancelled.abort(),
    drain: async (limitMs) => {
      const running = calls.liveCount;
      polling.stop();
      const over = clock.sleep(limitMs, cancelled.signal).catch(() => undefined);
      await Promise.race([settled(ended, deps), over]);
      const stopped = calls.liveCount;
      calls.stopAll('drain');
      await Promise.race([settled(ended, deps), clock.sleep(stopLimitMs)]);
      return { finished: running - stopped, stopped };
    },
  };
}

/** Temporal's worker has ended, and so have the calls: during an outage they outlive it, and the journal keeps their results. */
async function settled(ended: Promise<void>, { calls, clock }: WorkerDeps): Promise<void> {
  await ended.catch(() => undefined);
  while (calls.liveCount > 0) await clock.sleep(liveLookMs);
}

/** Says each once: its histories cannot be replayed here, nor ours there, and the control plane need not know of it. */
function createStrangerNotice(log: WorkerDeps['log']): (identities: readonly string[]) => void {
  const said = new Set<string>();
  return (identities) => {
    for (const poller of identities) {
      if (said.has(poller)) continue;
      said.add(poller);
      log.warn(
        'Another product takes tasks from this queue; executions that one has begun cannot go on with the other',
        {
          poller,
        },
      );
    }
  };
}
