// Compares what the store believes with what Temporal and the clock say, and removes what nobody needs any more.
import { messageOf } from '../errors.ts';
import { answerApprovals } from './approvals.ts';
import type { ServerDeps } from './deps.ts';
import { startWorkflow } from './execute.ts';
import { advance } from './progress.ts';
import { startedByKey } from './jobs.ts';
import { endOrphans } from './orphans.ts';
import { removeAbandonedQueues } from './queue-removal.ts';
import type { ExecutionRecord } from './store/executions.ts';
import { noteTrouble } from './stuck.ts';
import { TemporalError, type WorkflowState } from './temporal.ts';

export interface Reconciler {
  /** Something is open: look until nothing is. */
  wake(): void;
  /** Waits for the round that is under way. */
  stop(): Promise<void>;
}

const roundIntervalMs = 2_000;
/** A worker reports the end of an execution a moment after its workflow has ended; after this it will not. */
const reportGraceMs = 3_000;
/** Open executions looked at in a round, the next ones in the next; the dev server answers a few hundred descriptions a second. */
const executionsPerRoundMax = 200;
const callsAtOnceMax = 8;
/** Kept after their end: a month, and the newest 10,000; with the limits of the event log a few GB at the very most. */
const retentionMs = 30 * 24 * 3_600_000;
const executionsKeptMax = 10_000;
const deletedPerRoundMax = 50;
/** Rows of workers that are gone stay a day for whoever asks what happened. */
const workerRetentionMs = 24 * 3_600_000;

/** Where an execution stands that the store believes open and Temporal does not, first seen at a time of `clock.elapsed`. */
type FirstSeen = Map<string, number>;

export function createReconciler(deps: ServerDeps): Reconciler {
  const firstSeen: FirstSeen = new Map();
  const orphans = createOrphanLooks(deps);
  let lookedAt = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let round: Promise<void> | undefined;
  let isStopped = false;
  let isTemporalAway = false;

  const schedule = (): void => {
    // A round that is under way looks at its end whether another is needed.
    if (isStopped || timer !== undefined || round !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      round = runRound().then(() => {
        round = undefined;
        if (!isStopped && (isAnythingOpen(deps) || orphans.isDue())) schedule();
      });
    }, roundIntervalMs);
  };
  const runRound = async (): Promise<void> => {
    try {
      await answerApprovals(deps);
      lookedAt = await reconcile(deps, firstSeen, lookedAt);
      await orphans.look();
      if (isTemporalAway) deps.log.info('Temporal answers again');
      isTemporalAway = false;
    } catch (error) {
      if (!isAway(error)) deps.log.error('Looking after open executions failed', { error });
      else if (!isTemporalAway) deps.log.warn(`${messageOf(error)}; executions wait for it`);
      isTemporalAway = isTemporalAway || isAway(error);
    }
  };
  return {
    wake: schedule,
    stop: async () => {
      isStopped = true;
      clearTimeout(timer);
      await round;
    },
  };
}

interface OrphanLooks {
  /** The looks after the start, which find what a restored backup does not agree on, are not over. */
  isDue(): boolean;
  /** Does nothing before its time. A Temporal that is away is asked again in the next round. */
  look(): Promise<void>;
}

/** Twice, because a report may be under way at the first. */
const firstLooks = 2;
const orphanLookIntervalMs = 60_000;

function createOrphanLooks(deps: ServerDeps): OrphanLooks {
  let looks = 0;
  let nextAt = -Infinity;
  return {
    isDue: () => looks < firstLooks,
    look: async () => {
      if (deps.clock.elapsed() < nextAt) return;
      try {
        await endOrphans(deps);
      } catch (error) {
        if (!isAway(error)) throw error;
        return;
      }
      looks += 1;
      nextAt = deps.clock.elapsed() + orphanLookIntervalMs;
    },
  };
}

function isAway(error: unknown): boolean {
  return error instanceof TemporalError && error.kind === 'unavailable';
}

function isAnythingOpen({ store }: ServerDeps): boolean {
  if (store.executions.openCount() > 0) return true;
  return store.queues.list().some((queue) => queue.isEphemeral && queue.autoCleanupAfterSeconds !== null);
}

/** Looks at open executions behind `after`; returns behind which the next round goes on. */
async function reconcile(deps: ServerDeps, firstSeen: FirstSeen, after: number): Promise<number> {
  const { store, clock, log } = deps;
  removeAbandonedQueues(deps);
  store.queues.forgetWorkersBefore(clock.now() - workerRetentionMs);
  const before = new Date(clock.now() - retentionMs).toISOString();
  const expired = store.executions.expired({ before, keep: executionsKeptMax, limit: deletedPerRoundMax });
  for (const number of expired) store.executions.delete(number);

  const open = store.executions.open(executionsPerRoundMax, after);
  for (const id of firstSeen.keys()) if (store.executions.find(id)?.isOpen !== true) firstSeen.delete(id);
  for (let index = 0; index < open.length; index += callsAtOnceMax) {
    const group = open.slice(index, index + callsAtOnceMax);
    const results = await Promise.allSettled(group.map((execution) => reconcileOne(deps, execution, firstSeen)));
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      if (isAway(result.reason)) throw result.reason;
      // One that cannot be read must not keep the others from their end.
      log.error('Looking after an open execution failed', { error: result.reason });
    }
  }
  return open.length < executionsPerRoundMax ? 0 : (open.at(-1)?.number ?? 0);
}

async function reconcileOne(deps: ServerDeps, execution: ExecutionRecord, firstSeen: FirstSeen): Promise<void> {
  const { store, temporal, clock } = deps;
  const { id, workflowId } = execution;
  if (!execution.isWorkflowStarted) {
    if (execution.cancelRequestedAtMs !== null) {
      advance(deps, id, { status: 'cancelled', errorMessage: 'Cancelled before it started' }, 'reconciler');
      return;
    }
    try {
      await startWorkflow(deps, execution);
    } catch (error) {
      // Refused: `startWorkflow` has ended the execution with the reason.
      if (!(error instanceof TemporalError && error.kind === 'refused')) throw error;
    }
    return;
  }
  const state = await temporal.describe(workflowId);
  if (state.kind === 'open') {
    firstSeen.delete(id);
    noteTrouble(deps, execution, state.trouble);
    if (execution.cancelRequestedAtMs !== null) await cancelWithoutWorker(deps, execution);
    return;
  }
  if (state.kind === 'missing' && (await isAwaited(deps, execution))) return;
  const since = firstSeen.get(id) ?? clock.elapsed();
  firstSeen.set(id, since);
  if (clock.elapsed() - since < reportGraceMs) return;
  firstSeen.delete(id);
  advance(deps, id, outcomeOf(state, execution), 'reconciler');
  deps.log.warn('An execution ended without a report of its worker', {
    execution: id,
    status: store.executions.find(id)?.status,
  });
}

/** A scheduled run has written down its execution and is about to start it. */
async function isAwaited({ temporal }: ServerDeps, { request }: ExecutionRecord): Promise<boolean> {
  const runId = request.execution_metadata?.[startedByKey];
  return typeof runId === 'string' && (await temporal.describe(runId)).kind === 'open';
}

/** A cancel is carried out by the worker; when the queue has none, nobody would ever do it. */
async function cancelWithoutWorker(deps: ServerDeps, { id, workflowId, queueId }: ExecutionRecord): Promise<void> {
  const { store, temporal } = deps;
  if (store.queues.liveWorkers(queueId).length > 0) return;
  try {
    await temporal.terminate(workflowId, 'cancelled, and its queue has no live worker');
  } catch (error) {
    if (!(error instanceof TemporalError && error.kind === 'not_found')) throw error;
  }
  advance(deps, id, { status: 'cancelled', errorMessage: 'Cancelled; its queue has no live worker' }, 'reconciler');
}

function outcomeOf(
  state: Exclude<WorkflowState, { kind: 'open' }>,
  execution: ExecutionRecord,
): Parameters<typeof advance>[2] {
  if (state.kind === 'missing') {
    return {
      status: 'failed',
      errorMessage: 'Temporal does not know this execution any more; its data was lost or has expired',
    };
  }
  const { status, response, error, usage } = state;
  if (status === 'completed' || status === 'cancelled') return { status, response, usage, errorMessage: error };
  const errorMessage = error ?? execution.errorMessage ?? 'The workflow ended without a reason';
  return { status, response, usage, errorMessage };
}
