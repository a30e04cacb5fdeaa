// A clock that a test moves: whoever sleeps is woken in order, and nothing takes time.
import type { Clock } from '../../../src/lib/clock.ts';

export interface FakeClock extends Clock {
  /** Moves on until `untilMs`, waking sleepers in order; each gets to run before the next. */
  runUntil(untilMs: number): Promise<void>;
  /** The machine is suspended: time passes and nobody runs. */
  jump(ms: number): void;
  readonly sleepers: number;
}

interface Sleeper {
  readonly atMs: number;
  readonly order: number;
  wake(): void;
}

export function createFakeClock(): FakeClock {
  const startMs = Date.parse('2026-11-24T10:00:00.000Z');
  let nowMs = 0;
  let order = 0;
  const sleepers = new Set<Sleeper>();
  const next = (): Sleeper | undefined => [...sleepers].toSorted((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
  const settle = (): Promise<void> => new Promise((done) => setImmediate(done));
  return {
    now: () => startMs + nowMs,
    elapsed: () => nowMs,
    get sleepers() {
      return sleepers.size;
    },
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(new Error('aborted'));
        const abort = (): void => {
          sleepers.delete(sleeper);
          reject(new Error('aborted'));
        };
        const sleeper: Sleeper = {
          atMs: nowMs + ms,
          order: (order += 1),
          wake: () => {
            sleepers.delete(sleeper);
            signal?.removeEventListener('abort', abort);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', abort, { once: true });
      }),
    jump: (ms) => (nowMs += ms),
    runUntil: async (untilMs) => {
      await settle();
      for (let sleeper = next(); sleeper !== undefined && sleeper.atMs <= untilMs; sleeper = next()) {
        nowMs = Math.max(nowMs, sleeper.atMs);
        sleeper.wake();
        await settle();
      }
      nowMs = Math.max(nowMs, untilMs);
    },
  };
}
