// A clock that a test moves: sleeps end when their time has come, and the wall may jump on its own.
import type { Clock } from '../../src/lib/clock.ts';

export interface ManualClock extends Clock {
  /** Moves both clocks and lets what was waiting run. */
  advance(ms: number): Promise<void>;
  /** Moves only the wall clock: it was set, or the machine slept. */
  jump(ms: number): void;
}

interface Sleeper {
  readonly atMs: number;
  readonly wake: () => void;
}

/** Turns of the event loop that what woke up gets: a look or a beat is a handful of promises. */
const turns = 20;

export function createManualClock(startMs = Date.parse('2026-01-01T00:00:00Z')): ManualClock {
  let wallMs = startMs;
  let elapsedMs = 1_000;
  let sleepers: readonly Sleeper[] = [];
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < turns; turn += 1) await new Promise((done) => setImmediate(done));
  };
  return {
    now: () => wallMs,
    elapsed: () => elapsedMs,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const sleeper = { atMs: elapsedMs + ms, wake: resolve };
        const abort = (): void => {
          sleepers = sleepers.filter((one) => one !== sleeper);
          reject(new Error('aborted'));
        };
        if (signal?.aborted === true) return abort();
        signal?.addEventListener('abort', abort, { once: true });
        sleepers = [...sleepers, sleeper];
      }),
    advance: async (ms) => {
      await settle();
      const untilMs = elapsedMs + ms;
      for (;;) {
        const due = [...sleepers].sort((a, b) => a.atMs - b.atMs).find(({ atMs }) => atMs <= untilMs);
        if (due === undefined) break;
        sleepers = sleepers.filter((one) => one !== due);
        wallMs += Math.max(0, due.atMs - elapsedMs);
        elapsedMs = Math.max(elapsedMs, due.atMs);
        due.wake();
        await settle();
      }
      wallMs += untilMs - elapsedMs;
      elapsedMs = untilMs;
    },
    jump: (ms) => (wallMs += ms),
  };
}

/** A log that keeps its lines as `level message`. */
export function createLinesLog() {
  const lines: string[] = [];
  const fieldsOf: Record<string, unknown>[] = [];
  const at =
    (level: string) =>
    (message: string, fields: Record<string, unknown> = {}) => {
      lines.push(`${level} ${message}`);
      fieldsOf.push(fields);
    };
  const log = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => log,
    close: () => undefined,
  };
  return { lines, fieldsOf, log };
}
