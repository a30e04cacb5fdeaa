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
  for (const id of ['a', 'b']) {
    tracker.seen(id);
    expect(tracker.ended(id, 'failed')).toBe(true);
    tracker.seen(id);
    expect(tracker.snapshot([]).open).toEqual([]);
    expect(tracker.ended(id, 'completed')).toBe(false);
  }
  expect(tracker.snapshot([])).toMatchObject({ first: { id: 'a', end: 'failed' }, open: [], others: 1 });
});

test('an execution that somebody else saw end still has its own report to make', () => {
  const { tracker } = lab();
  tracker.seen('a');
  tracker.settled('a', 'completed');
  expect(tracker.snapshot([])).toMatchObject({ first: { id: 'a', end: 'completed' }, open: [] });
  expect(tracker.ended('a', 'completed')).toBe(true);
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
