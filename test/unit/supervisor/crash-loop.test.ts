// A simulated day of crashes: how many starts, how far apart, and a supervision that never ends.
import { describe, expect, test } from 'bun:test';
import { backoffMsMax, restartDelayMs } from '../../../src/supervisor/restart-policy.ts';
import { type Plan, simulate } from './simulation.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const minuteMs = 60_000;
/** With a random number of 0.5 there is no jitter: 1, 2, 4 … 60 s. */
const waits = [1, 2, 4, 8, 16, 32, 60, 60].map((seconds) => seconds * 1000);
const waitMs = (crash: number): number => waits[Math.min(crash, waits.length) - 1] ?? 0;

/** When workers start that all live for `lifeMs`, with waits of a loop that never counts anew. */
function expectedStarts(lifeMs: number, untilMs: number): number[] {
  const starts: number[] = [];
  for (let atMs = 0, crash = 1; atMs <= untilMs; atMs += lifeMs + waitMs(crash), crash += 1) starts.push(atMs);
  return starts;
}

describe('24 hours of', () => {
  const lives: readonly (readonly [name: string, plan: Plan])[] = [
    ['ends right after the start', { endsAfterMs: 10, code: 1 }],
    ['kills while it starts', { endsAfterMs: 3_000, signal: 'SIGKILL' }],
    ['faults a minute after it was ready', { readyAfterMs: 2_000, endsAfterMs: 62_000, signal: 'SIGSEGV' }],
    ['ends after 4:59 healthy minutes', { readyAfterMs: 1_000, endsAfterMs: 1_000 + 299_000, code: 70 }],
  ];
  for (const [name, plan] of lives) {
    test(`${name}: the waits grow to a minute and stay there`, async () => {
      const run = simulate(() => plan);
      await run.clock.runUntil(dayMs);
      const expected = expectedStarts(plan.endsAfterMs ?? 0, dayMs);
      expect(run.starts).toEqual(expected);
      expect(run.end).toBeUndefined();
      expect(run.supervision.status.restarts).toBe(
        expected.length - (run.supervision.status.worker_pid === null ? 0 : 1),
      );
      const crashes = run.decisions.map((decision) => (decision.kind === 'restart' ? decision.crashesInRow : 0));
      expect(crashes).toEqual(crashes.map((_, index) => index + 1));
      const loops = run.decisions.map((decision) => decision.kind === 'restart' && decision.isCrashLoop);
      expect(loops.indexOf(true)).toBe(4);
      expect(loops.lastIndexOf(false)).toBe(3);
    });
  }

  test('ends after 5:01 healthy minutes: each is the first again', async () => {
    const lifeMs = 1_000 + 301_000;
    const run = simulate(() => ({ readyAfterMs: 1_000, endsAfterMs: lifeMs, code: 70 }));
    await run.clock.runUntil(dayMs);
    expect(run.starts).toEqual(
      Array.from({ length: Math.floor(dayMs / (lifeMs + 1_000)) + 1 }, (_, index) => index * (lifeMs + 1_000)),
    );
    expect(run.states).not.toContain('crash-looping');
    expect(run.end).toBeUndefined();
  });

  test('starts that give no process: as any crash', async () => {
    const run = simulate(() => ({ startError: new Error('EAGAIN') }));
    await run.clock.runUntil(dayMs);
    expect(run.starts).toEqual(expectedStarts(0, dayMs));
    expect(run.supervision.status).toMatchObject({
      state: 'crash-looping',
      reason: 'the worker could not be started: EAGAIN',
    });
  });

  test('hangs: each is killed after a minute of silence, and counts', async () => {
    const run = simulate(() => ({ readyAfterMs: 1_000, silentAfterMs: 30_000 }));
    await run.clock.runUntil(dayMs);
    expect(run.end).toBeUndefined();
    expect(run.told.every((line) => line.endsWith('SIGKILL'))).toBe(true);
    const [first = 0] = run.told.map((line) => Number.parseInt(line, 10));
    // Silent from 30 s on; seen within a look and the time of an answer.
    expect(first).toBeGreaterThanOrEqual(30_000 + 60_000 - 5_000);
    expect(first).toBeLessThanOrEqual(30_000 + 60_000 + 10_000);
    expect(run.supervision.status.reason).toMatch(/^the worker did not answer for 6\d s and was killed$/);
    expect(run.states).toContain('crash-looping');
  });

  test('nothing but health: one start, no word', async () => {
    const run = simulate(() => ({ readyAfterMs: 1_000 }));
    await run.clock.runUntil(dayMs);
    expect(run.starts).toEqual([0]);
    expect(run.states).toEqual(['starting', 'running']);
    expect(run.told).toEqual([]);
  });
});

test('a loop that ends in health is forgotten after five minutes, not before', async () => {
  const healthy = (minutes: number): Plan => ({ readyAfterMs: 0, endsAfterMs: minutes * minuteMs, code: 1 });
  for (const [minutes, next] of [
    [4, 7],
    [6, 1],
  ] as const) {
    const run = simulate((number) => (number === 6 ? healthy(minutes) : { endsAfterMs: 10, code: 1 }));
    await run.clock.runUntil(hourMs);
    const crashes = run.decisions.map((decision) => (decision.kind === 'restart' ? decision.crashesInRow : 0));
    expect(crashes.slice(0, 8)).toEqual([1, 2, 3, 4, 5, 6, next, next + 1]);
    expect(run.states).toContain('running');
  }
});

test('waits stay between a second and a minute, whatever chance says', () => {
  for (const random of [0, 0.25, 0.999_999]) {
    for (let crash = 1; crash <= 2_000; crash += 1) {
      const delayMs = restartDelayMs(crash, () => random);
      expect(delayMs).toBeGreaterThanOrEqual(1_000);
      expect(delayMs).toBeLessThanOrEqual(backoffMsMax);
    }
  }
  expect(restartDelayMs(3, () => 0)).toBe(3_000);
  expect(restartDelayMs(3, () => 0.999_999)).toBe(5_000);
});
