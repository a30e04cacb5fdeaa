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
  return new Beats(options);
}

class Beats implements HeartbeatLoop {
  readonly first: Promise<boolean>;
  readonly counters = { sent: 0, failed: 0 };
  readonly #options: HeartbeatOptions;
  readonly #clock: Clock;
  readonly #stopped = new AbortController();
  readonly #loop: Promise<void>;
  #workerId: string;
  #lastSuccessMs: number | undefined;
  #lastAttemptMs: number;
  #isRegistering = false;
  #failures = 0;
  /** Since a beat last arrived. */
  #registrations = 0;
  #nap = new AbortController();
  #isDue = false;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#workerId = options.workerId;
    this.#lastAttemptMs = this.#clock.elapsed();
    const begun = this.#beat();
    this.first = begun.then(() => this.#lastSuccessMs !== undefined);
    this.#loop = begun.then((delayMs) => this.#run(delayMs));
  }

  workerId(): string {
    return this.#workerId;
  }

  setWorkerId(id: string): void {
    this.#workerId = id;
    this.beatNow();
  }

  beatNow(): void {
    this.#isDue = true;
    this.#nap.abort();
  }

  lastSuccessAgeMs(): number | undefined {
    return this.#lastSuccessMs === undefined ? undefined : this.#clock.elapsed() - this.#lastSuccessMs;
  }

  lastAttemptAgeMs(): number {
    return this.#isRegistering ? 0 : this.#clock.elapsed() - this.#lastAttemptMs;
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
  }

  async #run(firstDelayMs: number): Promise<void> {
    const { signal } = this.#stopped;
    for (let delayMs = firstDelayMs; !signal.aborted;) {
      this.#nap = new AbortController();
      if (!this.#isDue)
        await this.#clock.sleep(delayMs, AbortSignal.any([signal, this.#nap.signal])).catch(() => undefined);
      this.#isDue = false;
      if (!signal.aborted) delayMs = await this.#beat();
    }
  }

  /** Gives how long to wait for the next one. */
  async #beat(): Promise<number> {
    const { client, payload, onBeat, intervalMs } = this.#options;
    const { signal } = this.#stopped;
    this.#lastAttemptMs = this.#clock.elapsed();
    try {
      const call = { signal, timeoutMs: heartbeatTimeoutMs, attemptsMax: 1 };
      await client.sendHeartbeat(this.#workerId, await payload(), call);
    } catch (error) {
      if (signal.aborted) return 0;
      if (!(error instanceof KubiyaError)) throw error;
      return await this.#afterFailure(error);
    }
    this.#lastSuccessMs = this.#clock.elapsed();
    this.counters.sent += 1;
    this.#failures = 0;
    this.#registrations = 0;
    onBeat?.({});
    return intervalMs;
  }

  async #registerAgain(): Promise<string | undefined> {
    this.#isRegistering = true;
    try {
      return await this.#options.onUnknownWorker(this.#stopped.signal);
    } finally {
      this.#isRegistering = false;
    }
  }

  async #afterFailure(error: KubiyaError): Promise<number> {
    this.counters.failed += 1;
    this.#failures += 1;
    this.#options.onBeat?.({ error });
    const nextMs = delayAfter(error, this.#failures, this.#options);
    if (!unknownWorkerCodes.test(error.code)) return nextMs;
    const newId = await this.#registerAgain();
    if (newId === undefined) return nextMs;
    this.#workerId = newId;
    this.#registrations += 1;
    // Told at once, unless the server forgets as fast as it is told.
    return this.#registrations === 1 ? 0 : nextMs;
  }
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
