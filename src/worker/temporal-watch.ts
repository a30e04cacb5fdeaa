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
  /** The one that is used now. */
  readonly address: () => string;
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
  return new Watch(options);
}

class Watch implements TemporalWatch {
  readonly #options: TemporalWatchOptions;
  readonly #stopped = new AbortController();
  readonly #startedMs: number;
  readonly #loop: Promise<void>;
  #health: Omit<TemporalHealth, 'pollAgeMs'>;
  #lastPollAtMs: number | undefined;
  #pollSeenMs: number | undefined;
  #failedLooks = 0;
  #nap = new AbortController();
  #pending: Promise<TaskQueueView> | undefined;

  constructor(options: TemporalWatchOptions) {
    this.#options = options;
    this.#startedMs = options.clock.elapsed();
    this.#health = { isUp: true, since: this.#nowText(), reason: null, isRefused: false, backlog: null };
    this.#loop = this.#run();
  }

  health(): TemporalHealth {
    const pollAgeMs = this.#pollSeenMs === undefined ? null : this.#options.clock.elapsed() - this.#pollSeenMs;
    return { ...this.#health, pollAgeMs };
  }

  wake(): void {
    this.#nap.abort();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { clock, intervalMs } = this.#options;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      this.#nap = new AbortController();
      await this.#ask();
      const isUnsure = this.#failedLooks > 0 && this.#failedLooks < failedLooksMax;
      const delayMs = isUnsure ? secondLookMs : intervalMs;
      await clock.sleep(delayMs, AbortSignal.any([signal, this.#nap.signal])).catch(() => undefined);
    }
  }

  async #ask(): Promise<void> {
    try {
      this.#take(await this.#answer());
    } catch (error) {
      if (this.#stopped.signal.aborted) return;
      this.#failedLooks += 1;
      const isRefused = refusedCodes.has(codeOf(error));
      if (isRefused || this.#failedLooks >= failedLooksMax)
        this.#change({ isUp: false, reason: sentenceOf(error), isRefused }, this.#health.backlog);
    }
  }

  /** Never two at once: a look that does not end is the one that is waited for again. */
  async #answer(): Promise<TaskQueueView> {
    const { clock, look } = this.#options;
    this.#pending ??= look(lookLimitMs).finally(() => (this.#pending = undefined));
    this.#pending.catch(() => undefined); // may come after its limit
    const over = new AbortController();
    const late = clock.sleep(lookLimitMs, AbortSignal.any([over.signal, this.#stopped.signal])).then(() => {
      throw new Error(`no answer within ${lookLimitMs / 1000} s`);
    });
    try {
      return await Promise.race([this.#pending, late]);
    } finally {
      late.catch(() => undefined);
      over.abort();
    }
  }

  #take({ lastPollAtMs, backlog }: TaskQueueView): void {
    const { clock } = this.#options;
    this.#failedLooks = 0;
    this.#change({ isUp: true, reason: null, isRefused: false }, backlog ?? null);
    if (lastPollAtMs !== undefined && lastPollAtMs !== this.#lastPollAtMs) {
      // The clocks of two machines differ: the age at the first look is a guess with bounds, later ones are measured here.
      const guessMs = this.#lastPollAtMs === undefined ? Math.max(0, clock.now() - lastPollAtMs) : 0;
      this.#pollSeenMs = Math.max(this.#startedMs, clock.elapsed() - guessMs);
      this.#lastPollAtMs = lastPollAtMs;
    }
    this.#pollSeenMs ??= this.#startedMs;
  }

  #change(next: Pick<TemporalHealth, 'isUp' | 'reason' | 'isRefused'>, backlog: number | null): void {
    const { log } = this.#options;
    const address = this.#options.address();
    const isNews = next.isUp !== this.#health.isUp || next.isRefused !== this.#health.isRefused;
    if (isNews && next.isUp) log.info('Temporal answers again', { address });
    if (isNews && !next.isUp) {
      const what = next.isRefused ? 'Temporal refuses this worker’s key' : 'Temporal does not answer';
      log.warn(`${what}; running calls go on`, { address, reason: next.reason });
    }
    this.#health = { ...next, since: isNews ? this.#nowText() : this.#health.since, backlog };
  }

  #nowText(): string {
    return new Date(this.#options.clock.now()).toISOString();
  }
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
