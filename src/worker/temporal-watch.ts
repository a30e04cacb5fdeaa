// Asks Temporal now and then whether it answers and when it last saw this worker poll; says each change once.
import { messageOf } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../telemetry/log.ts';

/** Plain data, so that it can cross a process boundary. */
export interface TemporalHealth {
  readonly isUp: boolean;
  /** ISO 8601: since when it is up or down. */
  readonly since: string;
  /** Why it is down; null when it is up. */
  readonly reason: string | null;
  /** It answers, but refuses this worker's key. */
  readonly isRefused: boolean;
  /** Milliseconds since Temporal was first seen to know of this worker's last poll; null before the first answer. */
  readonly pollAgeMs: number | null;
  /** Tasks that wait on the queue, about; null where Temporal does not say. */
  readonly backlog: number | null;
}

/** What one look at the task queue brought. */
export interface TaskQueueView {
  /** When this worker's last poll began by Temporal's clock; undefined when Temporal has not seen one in the last minutes. */
  readonly lastPollAtMs: number | undefined;
  readonly backlog: number | undefined;
}

export interface TemporalWatchOptions {
  /** One question; rejects with what Temporal's client throws. */
  readonly look: (limitMs: number) => Promise<TaskQueueView>;
  readonly intervalMs: number;
  readonly address: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface TemporalWatch {
  health(): TemporalHealth;
  /** Looks now: after a wake, or a change of the key. */
  wake(): void;
  /** No look is under way afterwards. */
  stop(): Promise<void>;
}

/** A dev server is a neighbour, and a question to it costs a millisecond; elsewhere half a minute is soon enough for a person. */
export const localWatchIntervalMs = 5_000;
export const remoteWatchIntervalMs = 30_000;
/** A look that takes longer has found out that Temporal does not answer. */
const lookLimitMs = 4_000;
/** One lost answer is no outage: it is asked again so soon. */
const secondLookMs = 1_000;
const failedLooksMax = 2;

const refusedCodes: ReadonlySet<number> = new Set([7, 16]);

export function startTemporalWatch(options: TemporalWatchOptions): TemporalWatch {
  const { look, clock, log, address } = options;
  const stopped = new AbortController();
  const startedMs = clock.elapsed();
  let health: Omit<TemporalHealth, 'pollAgeMs'> = {
    isUp: true,
    since: new Date(clock.now()).toISOString(),
    reason: null,
    isRefused: false,
    backlog: null,
  };
  let lastPollAtMs: number | undefined;
  let pollSeenMs: number | undefined;
  let failedLooks = 0;
  let nap = new AbortController();
  let pending: Promise<TaskQueueView> | undefined;

  const change = (next: Pick<TemporalHealth, 'isUp' | 'reason' | 'isRefused'>, backlog: number | null): void => {
    const isNews = next.isUp !== health.isUp || next.isRefused !== health.isRefused;
    const since = isNews ? new Date(clock.now()).toISOString() : health.since;
    if (isNews && next.isUp) log.info('Temporal answers again', { address });
    if (isNews && !next.isUp) {
      const what = next.isRefused ? 'Temporal refuses this worker’s key' : 'Temporal does not answer';
      log.warn(`${what}; running calls go on`, { address, reason: next.reason });
    }
    health = { ...next, since, backlog };
  };
  const take = (view: TaskQueueView): void => {
    failedLooks = 0;
    change({ isUp: true, reason: null, isRefused: false }, view.backlog ?? null);
    if (view.lastPollAtMs !== undefined && view.lastPollAtMs !== lastPollAtMs) {
      // The clocks of two machines differ: the age at the first look is a guess with bounds, later ones are measured here.
      const guessMs = lastPollAtMs === undefined ? Math.max(0, clock.now() - view.lastPollAtMs) : 0;
      pollSeenMs = Math.max(startedMs, clock.elapsed() - guessMs);
      lastPollAtMs = view.lastPollAtMs;
    }
    pollSeenMs ??= startedMs;
  };
  /** Never two at once: a look that does not end is the one that is waited for again. */
  const answer = async (): Promise<TaskQueueView> => {
    pending ??= look(lookLimitMs).finally(() => (pending = undefined));
    pending.catch(() => undefined); // may come after its limit
    const over = new AbortController();
    const late = clock.sleep(lookLimitMs, AbortSignal.any([over.signal, stopped.signal])).then(() => {
      throw new Error(`no answer within ${lookLimitMs / 1000} s`);
    });
    try {
      return await Promise.race([pending, late]);
    } finally {
      late.catch(() => undefined);
      over.abort();
    }
  };
  const ask = async (): Promise<void> => {
    try {
      take(await answer());
    } catch (error) {
      if (stopped.signal.aborted) return;
      failedLooks += 1;
      const isRefused = refusedCodes.has(codeOf(error));
      if (isRefused || failedLooks >= failedLooksMax)
        change({ isUp: false, reason: sentenceOf(error), isRefused }, health.backlog);
    }
  };
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      nap = new AbortController();
      await ask();
      const isUnsure = failedLooks > 0 && failedLooks < failedLooksMax;
      const signal = AbortSignal.any([stopped.signal, nap.signal]);
      await clock.sleep(isUnsure ? secondLookMs : options.intervalMs, signal).catch(() => undefined);
    }
  })();
  return {
    health: () => ({ ...health, pollAgeMs: pollSeenMs === undefined ? null : clock.elapsed() - pollSeenMs }),
    wake: () => nap.abort(),
    stop: async () => {
      stopped.abort();
      await loop;
    },
  };
}

function codeOf(error: unknown): number {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'number' ? code : -1;
}

/** The client wraps what happened into several layers that all say it again. */
function sentenceOf(error: unknown): string {
  const details = typeof error === 'object' && error !== null && 'details' in error ? error.details : undefined;
  const text = typeof details === 'string' && details !== '' ? details : messageOf(error);
  return text.split('\n')[0]?.slice(0, reasonCharactersMax) ?? text;
}

const reasonCharactersMax = 200;
