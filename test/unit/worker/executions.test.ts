// Which executions came to a worker: the first, the others, what is open, and for how long nothing was.
import { expect, test } from 'bun:test';
import { createExecutionTracker } from '../../../src/worker/executions.ts';

function lab() {
  let nowMs = 0;
  const tracker = createExecutionTracker(() => nowMs);
  return { tracker, pass: (ms: number) => (nowMs += ms) };
}

test('the first that comes is the first, however it and others end', () => {
  const { tracker } = lab();
  expect(tracker.snapshot([])).toMatchObject({ first: null, others: 0, open: [] });
  for (const id of ['a', 'b', 'a', 'c', 'b']) tracker.seen(id);
  tracker.ended('b', 'failed');
  tracker.ended('a', 'completed');
  expect(tracker.snapshot(['c'])).toMatchObject({
    first: { id: 'a', end: 'completed' },
    others: 2,
    open: ['c'],
    live: ['c'],
  });
});

test('an end that is told again changes nothing, and does not open what has ended', () => {
  const { tracker } = lab();
  tracker.seen('a');
  tracker.ended('a', 'failed');
  tracker.seen('a');
  tracker.ended('a', 'completed');
  tracker.ended('stranger', 'completed');
  expect(tracker.snapshot([])).toMatchObject({ first: { id: 'a', end: 'failed' }, open: [], others: 0 });
});

test('idle is the time without an open execution and without a running call', () => {
  const { tracker, pass } = lab();
  pass(5_000);
  expect(tracker.snapshot([]).idleMs).toBe(5_000);
  tracker.seen('a');
  pass(60_000);
  expect(tracker.snapshot([]).idleMs).toBe(0);
  tracker.ended('a', 'completed');
  pass(2_000);
  expect(tracker.snapshot([]).idleMs).toBe(2_000);
  expect(tracker.snapshot(['b']).idleMs).toBe(0);
  pass(1_000);
  expect(tracker.snapshot([]).idleMs).toBe(1_000);
});
