// Makes Temporal's schedules equal to the jobs in the store, at once after a change and again until it has worked.
import { messageOf } from '../errors.ts';
import type { ServerDeps } from './deps.ts';
import { wantedSchedule } from './jobs.ts';
import { TemporalError } from './temporal.ts';

export interface JobScheduler {
  /**
   * Tells Temporal of the last change or the removal of a job. Rejects with a TemporalError: `unavailable` means that it is
   * tried again by itself.
   */
  sync(jobId: string): Promise<void>;
  /** Waits for what is under way. */
  stop(): Promise<void>;
}

type Deps = Pick<ServerDeps, 'store' | 'temporal' | 'registration' | 'log' | 'clock'>;

/** The first look waits until workers and requests of the start have been served. */
const firstLookMs = 2_000;
/** After a change, or while Temporal is away. */
const retryIntervalMs = 2_000;
/** Finds what a lost database of Temporal, a restored backup, or a deleted agent changes. */
const lookIntervalMs = 60_000;
/** A sender repeats a delivery for three days (GitHub's limit), a week at most. */
const deliveryRetentionMs = 7 * 24 * 3_600_000;

export function createJobScheduler(deps: Deps): JobScheduler {
  const { store, log } = deps;
  let tail: Promise<unknown> = Promise.resolve();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isStopped = false;
  let isTemporalAway = false;

  /** One at a time, so that no older state of a job overtakes a newer one. */
  const inTurn = <T>(run: () => Promise<T>): Promise<T> => {
    const result = tail.then(run);
    tail = result.catch(() => undefined);
    return result;
  };
  const schedule = (delayMs: number): void => {
    clearTimeout(timer);
    if (isStopped) return;
    timer = setTimeout(() => void inTurn(look), delayMs);
  };
  const look = async (): Promise<void> => {
    if (isStopped) return;
    try {
      await lookAtAll(deps);
      if (isTemporalAway) log.info('Temporal answers again, the jobs have their schedules');
      isTemporalAway = false;
      if (store.jobs.list().length > 0) schedule(lookIntervalMs);
    } catch (error) {
      const isAway = error instanceof TemporalError && error.kind === 'unavailable';
      if (!isAway) log.error('Looking after the schedules of jobs failed', { error });
      else if (!isTemporalAway) log.warn(`${messageOf(error)}; changes of jobs wait for it`);
      isTemporalAway = isTemporalAway || isAway;
      schedule(isAway ? retryIntervalMs : lookIntervalMs);
    }
  };
  schedule(firstLookMs);
  return {
    sync: (jobId) =>
      // The look afterwards finds what this did not do, and begins the regular ones with the first job.
      inTurn(() => syncOne(deps, jobId).finally(() => schedule(retryIntervalMs))),
    stop: async () => {
      isStopped = true;
      clearTimeout(timer);
      await tail;
    },
  };
}

async function syncOne({ store, temporal }: Deps, jobId: string): Promise<void> {
  const job = store.jobs.find(jobId);
  const wanted = job === null ? null : wantedSchedule({ store }, job);
  if (wanted === null) await temporal.schedules.remove(jobId);
  else await temporal.schedules.apply(wanted);
  if (job === null) store.jobs.forgetRemoval(jobId);
  else store.jobs.markSynced(jobId, job.revision);
}

/** Every job, what was removed, and schedules that nobody knows. Throws when Temporal is away. */
async function lookAtAll(deps: Deps): Promise<void> {
  const { store, temporal, registration, log, clock } = deps;
  store.jobs.forgetDeliveriesBefore(clock.now() - deliveryRetentionMs);
  const jobs = store.jobs.list();
  const changed = new Set([...store.jobs.unsynced(), ...store.jobs.removals()]);
  const present = await temporal.schedules.list();
  for (const job of jobs) {
    const wanted = wantedSchedule(deps, job);
    const state = present.find(({ jobId }) => jobId === job.id);
    if (wanted?.mark !== state?.mark || wanted?.isPaused !== state?.isPaused) changed.add(job.id);
  }
  // A cluster of others may be shared with another control plane; the dev server is ours alone.
  if (registration.isLocal) {
    for (const { jobId } of present) if (!jobs.some(({ id }) => id === jobId)) changed.add(jobId);
  }
  for (const id of changed) {
    try {
      await syncOne(deps, id);
    } catch (error) {
      if (error instanceof TemporalError && error.kind === 'unavailable') throw error;
      // One that Temporal refuses must not keep the others from their times.
      log.error('The schedule of a job could not be set', { job: id, error });
    }
  }
}
