// An attempt that comes too late is told from a clock that is wrong: the one must not begin, the other must not stop a worker.
import { expect, test } from 'bun:test';
import { createLateness } from '../../../src/worker/activities/lateness.ts';

const staleAfterMs = 5_000;
/** Each attempt with the monotonic time at which it comes. */
function judge(
  usualMs: number | undefined,
  attempts: readonly (readonly [atMs: number, delayMs: number])[],
): boolean[] {
  let nowMs = 0;
  const isLate = createLateness(usualMs, () => nowMs);
  return attempts.map(([atMs, delayMs]) => {
    nowMs = atMs;
    return isLate(delayMs, staleAfterMs);
  });
}

test('all that came during a standstill is late, and the fresh attempt that follows is not', () => {
  const attempts = [
    [0, 20],
    [60_000, 12_000],
    [60_002, 10_000],
    [60_100, 15],
    [70_000, 4_000],
    [200_000, 9_000],
    [400_000, 9_000],
  ] as const;
  expect(judge(0, attempts)).toEqual([false, true, true, false, false, true, true]);
});

test.each([600_000, -600_000])('a clock that is %d ms off makes no attempt late', (offMs) => {
  const attempts = [10, 3_000, 12, 12_000, 11].map((delayMs, index) => [index * 1_000, offMs + delayMs] as const);
  expect(judge(undefined, attempts)).toEqual([false, false, false, true, false]);
});

test('a clock that jumps costs the attempts of a second', () => {
  const attempts = [
    [0, 10],
    [5_000, 60_010],
    [5_100, 60_012],
    [6_200, 60_009],
    [6_300, 60_011],
  ] as const;
  expect(judge(0, attempts)).toEqual([false, true, true, false, false]);
});
