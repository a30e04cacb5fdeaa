// When a worker ends by itself, against a clock that the test moves.
import { describe, expect, test } from 'bun:test';
import type { WorkerConfig } from '../../../src/config/config.ts';
import { limitReached, type LimitReached } from '../../../src/processes/worker-limits.ts';
import { createExecutionTracker } from '../../../src/worker/executions.ts';
import { createManualClock } from '../../support/manual-clock.ts';

const megabyte = 1024 * 1024;

function lab(config: Partial<WorkerConfig>) {
  const clock = createManualClock();
  const tracker = createExecutionTracker(() => clock.elapsed());
  const over = new AbortController();
  const warnings: string[] = [];
  const state: { live: string[]; rss: number; childRss: number; end?: LimitReached } = {
    live: [],
    rss: 0,
    childRss: 0,
  };
  let lose: (lost: LimitReached) => void = () => undefined;
  const stats = { events: {} as never, modelCallsRepaid: 0 };
  const running = {
    lost: new Promise<LimitReached>((resolve) => (lose = resolve)),
    worker: { work: () => tracker.snapshot(state.live), stats: () => ({ ...stats, rssBytes: state.childRss }) },
  };
  const options = { drainTimeoutMs: 30_000, isOnce: false, ...config } as WorkerConfig;
  const deps = { clock, warn: (sentence: string) => warnings.push(sentence), rssBytes: () => state.rss };
  void limitReached(options, running, over.signal, deps).then((end) => (state.end = end));
  return { clock, tracker, state, warnings, over, lose: (lost: LimitReached) => lose(lost) };
}

describe('--once', () => {
  test.each([
    ['completed', 0, 'is completed'],
    ['failed', 1, 'has failed'],
    ['cancelled', 130, 'was cancelled'],
    ['gone', 1, 'was ended by somebody else'],
  ] as const)('%s is exit code %d, and no supervisor starts it again', async (end, exitCode, words) => {
    const { clock, tracker, state } = lab({ isOnce: true });
    await clock.advance(60_000);
    tracker.seen('x');
    await clock.advance(60_000);
    expect(state.end).toBeUndefined();
    tracker.ended('x', end);
    await clock.advance(200);
    expect(state.end).toEqual({ reason: `The execution x ${words} (--once)`, exitCode, isRetryable: false });
  });

  test('others that came get as long as a drain, and no longer', async () => {
    const { clock, tracker, state, warnings } = lab({ isOnce: true });
    tracker.seen('x');
    tracker.seen('y');
    await clock.advance(1_000);
    expect(warnings).toEqual([expect.stringMatching(/^One execution more came to this worker, which is for one/)]);
    tracker.ended('x', 'completed');
    await clock.advance(29_000);
    expect(state.end).toBeUndefined();
    await clock.advance(2_000);
    expect(state.end).toMatchObject({ reason: 'The execution x is completed (--once), 1 more came beside it' });
  });

  test('a worker for many does not end with its first', async () => {
    const { clock, tracker, state } = lab({});
    tracker.seen('x');
    tracker.ended('x', 'completed');
    await clock.advance(3_600_000);
    expect(state.end).toBeUndefined();
  });
});

test('--idle-timeout counts from the last work', async () => {
  const { clock, tracker, state } = lab({ idleTimeoutMs: 10_000 });
  await clock.advance(8_000);
  tracker.seen('x');
  await clock.advance(60_000);
  tracker.ended('x', 'failed');
  await clock.advance(9_000);
  expect(state.end).toBeUndefined();
  await clock.advance(2_000);
  expect(state.end).toEqual({
    reason: 'There was no work for 10s (--idle-timeout)',
    exitCode: 0,
    isRetryable: false,
  });
});

test('--max-uptime is the time since the start, whatever runs and whatever the wall clock says', async () => {
  const { clock, state } = lab({ uptimeMsMax: 60_000 });
  clock.jump(86_400_000);
  state.live.push('x');
  await clock.advance(59_000);
  expect(state.end).toBeUndefined();
  await clock.advance(1_000);
  expect(state.end).toMatchObject({ reason: 'The worker has run for 1m (--max-uptime)', exitCode: 0 });
});

describe('--max-memory', () => {
  test('ends it after three looks in a row above it, to be started again', async () => {
    const { clock, state } = lab({ memoryBytesMax: 100 * megabyte });
    state.rss = 101 * megabyte;
    await clock.advance(10_000);
    state.rss = 99 * megabyte;
    await clock.advance(5_000);
    state.rss = 150 * megabyte;
    await clock.advance(10_000);
    expect(state.end).toBeUndefined();
    await clock.advance(5_000);
    expect(state.end).toEqual({
      reason: 'The worker uses 150 MB of memory, more than the 100 of --max-memory',
      exitCode: 7,
      isRetryable: true,
    });
  });

  test('counts the process that hosts Temporal as well', async () => {
    const { clock, state } = lab({ memoryBytesMax: 100 * megabyte });
    state.rss = 60 * megabyte;
    state.childRss = 60 * megabyte;
    await clock.advance(15_000);
    expect(state.end?.exitCode).toBe(7);
  });
});

test('a lost session ends it with its own reason', async () => {
  const { clock, state, lose } = lab({});
  const lost = { reason: 'this worker has lost its temporary queue', exitCode: 4, isRetryable: false };
  lose(lost);
  await clock.advance(1);
  expect(state.end).toEqual(lost);
});

test('nothing is looked at after the signal', async () => {
  const { clock, state, over } = lab({ uptimeMsMax: 1_000 });
  over.abort();
  await clock.advance(60_000);
  expect(state.end).toBeUndefined();
});
