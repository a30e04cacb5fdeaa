// The heartbeat loop of a worker: one beat at once, then one per interval, sooner while they fail, until it is stopped.
import { KubiyaError } from '../errors.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import type { Heartbeat } from '../protocol/control-plane.ts';
import type { ControlPlaneClient } from './client.ts';

/** A beat that takes longer is of no use: the next one is more recent. */
const heartbeatTimeoutMs = 10_000;
/** One beat that was lost is sent again soon, so that a server which restarts in between never misses a worker. */
const secondBeatMs = 2_000;
/** While beats fail: soon enough to be seen when the server is back, a beat per worker and 10 s at most for one that struggles. */
const failingBeatMs = 10_000;

export interface HeartbeatOptions {
  readonly client: Pick<ControlPlaneClient, 'sendHeartbeat'>;
  readonly workerId: string;
  readonly intervalMs: number;
  /** What is true now. Must not throw. */
  readonly payload: () => Heartbeat | Promise<Heartbeat>;
  /** The server has forgotten this worker: register again and give the new id, or undefined to keep trying with the old one. The signal ends it. */
  readonly onUnknownWorker: (signal: AbortSignal) => Promise<string | undefined>;
  /** After each beat; `error` is absent when it arrived. Must not throw. */
  readonly onBeat?: ((beat: { readonly error?: KubiyaError | undefined }) => void) | undefined;
  readonly clock?: Clock | undefined;
  /** In [0, 1); given by tests. */
  readonly random?: (() => number) | undefined;
}

export interface HeartbeatLoop {
  /** Whether the first beat arrived; ready is only true after it did. */
  readonly first: Promise<boolean>;
  /** The id by which the server knows this worker now. */
  workerId(): string;
  /** The worker has registered again for another reason than a beat; the new id is told at once. */
  setWorkerId(id: string): void;
  /** Sends a beat now instead of at the end of the interval. */
  beatNow(): void;
  /** Milliseconds since the last beat that arrived; undefined before the first. */
  lastSuccessAgeMs(): number | undefined;
  /** Milliseconds since the loop last began a beat; 0 while it registers again. It says that the loop lives, not that anybody answers. */
  lastAttemptAgeMs(): number;
  readonly counters: { readonly sent: number; readonly failed: number };
  /** No beat is sent or under way afterwards: a late one would revive a disconnected worker. */
  stop(): Promise<void>;
}

/** The server knows no such worker (any more), or gives its place to another. */
const unknownWorkerCodes = /^(worker_|queue_|worker_queue_)?not_found$|^conflict$|^http_410$/;

export function startHeartbeat(options: HeartbeatOptions): HeartbeatLoop {
  const { clock = systemClock } = options;
  const stopped = new AbortController();
  const counters = { sent: 0, failed: 0 };
  let workerId = options.workerId;
  let lastSuccessMs: number | undefined;
  let lastAttemptMs = clock.elapsed();
  let isRegistering = false;
  let failures = 0;
  /** Since a beat last arrived. */
  let registrations = 0;
  let nap = new AbortController();
  let isDue = false;
  const hurry = (): void => {
    isDue = true;
    nap.abort();
  };

  /** Gives how long to wait for the next one. */
  const beat = async (): Promise<number> => {
    lastAttemptMs = clock.elapsed();
    try {
      const call = { signal: stopped.signal, timeoutMs: heartbeatTimeoutMs, attemptsMax: 1 };
      await options.client.sendHeartbeat(workerId, await options.payload(), call);
      lastSuccessMs = clock.elapsed();
      counters.sent += 1;
      failures = 0;
      registrations = 0;
      options.onBeat?.({});
      return options.intervalMs;
    } catch (error) {
      if (stopped.signal.aborted) return 0;
      if (!(error instanceof KubiyaError)) throw error;
      counters.failed += 1;
      failures += 1;
      options.onBeat?.({ error });
      const nextMs = delayAfter(error, failures, options);
      if (!unknownWorkerCodes.test(error.code)) return nextMs;
      isRegistering = true;
      const newId = await options.onUnknownWorker(stopped.signal).finally(() => (isRegistering = false));
      if (newId === undefined) return nextMs;
      workerId = newId;
      registrations += 1;
      // Told at once, unless the server forgets as fast as it is told.
      return registrations === 1 ? 0 : nextMs;
    }
  };
  const begun = beat();
  const loop = begun.then(async (firstDelayMs) => {
    let delayMs = firstDelayMs;
    while (!stopped.signal.aborted) {
      nap = new AbortController();
      if (!isDue) await clock.sleep(delayMs, AbortSignal.any([stopped.signal, nap.signal])).catch(() => undefined);
      isDue = false;
      if (!stopped.signal.aborted) delayMs = await beat();
    }
  });
  return {
    first: begun.then(() => lastSuccessMs !== undefined),
    workerId: () => workerId,
    setWorkerId: (id) => {
      workerId = id;
      hurry();
    },
    beatNow: hurry,
    counters,
    lastAttemptAgeMs: () => (isRegistering ? 0 : clock.elapsed() - lastAttemptMs),
    lastSuccessAgeMs: () => (lastSuccessMs === undefined ? undefined : clock.elapsed() - lastSuccessMs),
    stop: async () => {
      stopped.abort();
      await loop;
    },
  };
}

function delayAfter(
  error: KubiyaError,
  failures: number,
  { intervalMs, random = Math.random }: HeartbeatOptions,
): number {
  // Whoever is told to slow down does not hurry.
  if (error.code === 'rate_limited') return intervalMs;
  const soonMs = failures === 1 ? secondBeatMs : failingBeatMs * (0.5 + random() / 2);
  return Math.min(intervalMs, soonMs);
}
