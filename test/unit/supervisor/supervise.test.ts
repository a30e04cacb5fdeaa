// What ends a supervision, what does not, and how a worker is stopped; over a fake clock.
import { describe, expect, test } from 'bun:test';
import { simulate } from './simulation.ts';

const drain = { rung: 'drain', reason: 'stopped by `kubiya worker stop`' } as const;

describe('an end that is not a crash', () => {
  const ends = [
    ['0 after a signal from outside', { code: 0 }, { kind: 'stopped', exitCode: 0 }],
    ['130 after three of them', { code: 130 }, { kind: 'stopped', exitCode: 130 }],
    ['by SIGTERM before it could listen', { signal: 'SIGTERM' }, { kind: 'stopped', exitCode: null }],
    ['2 without a word', { code: 2 }, { kind: 'failed', exitCode: 2 }],
    ['3 without a word', { code: 3 }, { kind: 'failed', exitCode: 3 }],
    ['4 without a word', { code: 4 }, { kind: 'failed', exitCode: 4 }],
    ['6 without a word', { code: 6 }, { kind: 'failed', exitCode: 6 }],
    [
      '1 with the word that it is for good',
      { code: 1, lastWords: { is_retryable: false, reason: 'the one execution failed' } },
      { kind: 'failed', exitCode: 1, reason: 'the one execution failed' },
    ],
  ] as const;
  for (const [name, end, expected] of ends) {
    test(`${name} ends the supervision`, async () => {
      const run = simulate(() => ({ readyAfterMs: 100, endsAfterMs: 60_000, ...end }));
      await run.clock.runUntil(600_000);
      expect(run.end).toMatchObject(expected);
      expect(run.supervision.status).toMatchObject({ state: expected.kind, worker_pid: null, next_start_at: null });
      expect(run.starts).toEqual([0]);
      // Nothing is left that would wake up.
      expect(run.clock.sleepers).toBe(0);
    });
  }
});

describe('an end that is a crash', () => {
  const ends = [
    ['1', { code: 1 }],
    ['5', { code: 5 }],
    ['7 without a word, right after the start', { code: 7 }],
    ['70', { code: 70 }],
    ['by SIGSEGV', { signal: 'SIGSEGV' }],
    ['6 with the word that it may pass', { code: 6, lastWords: { exit_code: 6, is_retryable: true } }],
  ] as const;
  for (const [name, end] of ends) {
    test(`${name} is started again`, async () => {
      const run = simulate((number) =>
        number === 0 ? { readyAfterMs: 100, endsAfterMs: 10_000, ...end } : { readyAfterMs: 100 },
      );
      await run.clock.runUntil(60_000);
      expect(run.starts).toEqual([0, 11_000]);
      expect(run.states).toEqual(['starting', 'running', 'backing-off', 'starting', 'running']);
      expect(run.supervision.status.restarts).toBe(1);
    });
  }

  test('above the memory limit it is started again at once, and that is no crash', async () => {
    const run = simulate((number) =>
      number === 0
        ? {
            readyAfterMs: 100,
            endsAfterMs: 120_000,
            code: 7,
            lastWords: { exit_code: 7, reason: 'above --max-memory' },
          }
        : { readyAfterMs: 100 },
    );
    await run.clock.runUntil(300_000);
    expect(run.starts).toEqual([0, 120_000]);
    expect(run.decisions).toMatchObject([{ kind: 'restart', afterMs: 0, crashesInRow: 0 }]);
  });
});

describe('a first start that somebody waits for', () => {
  test('is final when it fails before it was ready', async () => {
    const lastWords = { exit_code: 5, reason: 'the control plane does not answer', hint: 'see the network' };
    const run = simulate(() => ({ endsAfterMs: 5_000, code: 5, lastWords }), { isFirstStartFinal: true });
    await run.clock.runUntil(600_000);
    expect(run.end).toEqual({
      kind: 'failed',
      reason: 'the control plane does not answer',
      hint: 'see the network',
      exitCode: 5,
    });
    expect(run.starts).toEqual([0]);
  });

  test('once ready is supervised as any other', async () => {
    const plan = (number: number) =>
      number === 0 ? { readyAfterMs: 100, endsAfterMs: 5_000, code: 5 } : { endsAfterMs: 10, code: 5 };
    const run = simulate(plan, { isFirstStartFinal: true });
    await run.clock.runUntil(10_000);
    expect(run.end).toBeUndefined();
    expect(run.starts.length).toBeGreaterThan(2);
  });
});

describe('a hang', () => {
  test('is not what a suspended machine looks like', async () => {
    const run = simulate(() => ({ readyAfterMs: 100 }));
    await run.clock.runUntil(600_000);
    for (let nights = 0; nights < 5; nights += 1) {
      run.clock.jump(8 * 3_600_000);
      await run.clock.runUntil(run.clock.elapsed() + 60_000);
    }
    expect(run.told).toEqual([]);
    expect(run.starts).toEqual([0]);
  });

  test('of less than a minute is forgiven', async () => {
    // Silent from 100 s on: at 150 s it is not over, at 200 s it is.
    const run = simulate(() => ({ readyAfterMs: 100, silentAfterMs: 100_000 }));
    await run.clock.runUntil(150_000);
    expect(run.told).toEqual([]);
    await run.clock.runUntil(200_000);
    expect(run.told).toHaveLength(1);
  });

  test('while it drains for a stop ends the stop', async () => {
    const run = simulate(() => ({ readyAfterMs: 100, silentAfterMs: 60_000 }));
    await run.clock.runUntil(50_000);
    run.supervision.stop(drain);
    await run.clock.runUntil(200_000);
    expect(run.told.map((line) => line.replace(/^\d+ /, ''))).toEqual(['HTTP drain', 'SIGKILL']);
    expect(run.end).toMatchObject({ kind: 'stopped', reason: drain.reason });
  });
});

describe('a stop', () => {
  test('is asked for over HTTP and waits as long as the worker answers', async () => {
    const run = simulate(() => ({ readyAfterMs: 100, endsAfterMs: 500_000, code: 0 }));
    await run.clock.runUntil(10_000);
    run.supervision.stop(drain);
    await run.clock.runUntil(400_000);
    expect(run.told).toEqual(['10000 HTTP drain']);
    expect(run.supervision.status).toMatchObject({ state: 'draining', reason: drain.reason });
    await run.clock.runUntil(600_000);
    expect(run.end).toMatchObject({ kind: 'stopped', reason: drain.reason, exitCode: 0 });
  });

  test('comes as SIGTERM where nobody answers, and as SIGKILL 15 s after the drain', async () => {
    const run = simulate(() => ({ readyAfterMs: 100, isDeaf: true, ignoresTerm: true }));
    await run.clock.runUntil(10_000);
    run.supervision.stop(drain);
    await run.clock.runUntil(200_000);
    expect(run.told).toEqual(['10000 SIGTERM', `${10_000 + 30_000 + 15_000} SIGKILL`]);
    expect(run.end?.kind).toBe('stopped');
  });

  test('to leave at once is a kill where nobody answers', async () => {
    const run = simulate(() => ({ readyAfterMs: 100, isDeaf: true, ignoresTerm: true }));
    await run.clock.runUntil(10_000);
    run.supervision.stop({ rung: 'leave', reason: 'now' });
    await run.clock.runUntil(10_100);
    expect(run.told).toEqual(['10000 SIGTERM', '10000 SIGKILL']);
    expect(run.end?.kind).toBe('stopped');
  });

  test('between two workers needs no worker', async () => {
    const run = simulate(() => ({ endsAfterMs: 10, code: 1 }));
    await run.clock.runUntil(20_000);
    expect(run.supervision.status.state).toBe('crash-looping');
    run.supervision.stop(drain);
    await run.clock.runUntil(20_001);
    expect(run.end).toMatchObject({ kind: 'stopped' });
    const { length } = run.starts;
    await run.clock.runUntil(600_000);
    expect(run.starts).toHaveLength(length);
  });

  test('that comes while a worker starts reaches it as soon as it listens', async () => {
    const run = simulate(() => ({ readyAfterMs: 5_000, ignoresTerm: true }));
    run.supervision.stop(drain);
    await run.clock.runUntil(200_000);
    // Deaf to the signal, but it has taken the stop since: it is not killed for its drain.
    expect(run.told).toEqual(['0 SIGTERM', '0 HTTP drain']);
  });
});

describe('a restart', () => {
  test('drains, then ends for a successor', async () => {
    const run = simulate(() => ({ readyAfterMs: 100, endsAfterMs: 30_000, code: 0 }));
    await run.clock.runUntil(10_000);
    expect(run.supervision.restart({ rung: 'drain', reason: 'restarted' })).toBe(true);
    expect(run.supervision.restart({ rung: 'drain', reason: 'restarted' })).toBe(false);
    await run.clock.runUntil(60_000);
    expect(run.end).toEqual({ kind: 'successor' });
  });

  test('is given up when a stop follows', async () => {
    const run = simulate(() => ({ readyAfterMs: 100, endsAfterMs: 30_000, code: 0 }));
    await run.clock.runUntil(10_000);
    run.supervision.restart({ rung: 'drain', reason: 'restarted' });
    run.supervision.stop(drain);
    await run.clock.runUntil(60_000);
    expect(run.end).toMatchObject({ kind: 'stopped', reason: drain.reason });
  });
});

test('a word of an earlier worker changes nothing', async () => {
  const run = simulate((number) =>
    number === 0 ? { readyAfterMs: 10, endsAfterMs: 1_000, code: 1 } : { readyAfterMs: 10 },
  );
  await run.clock.runUntil(5_000);
  const before = run.supervision.status;
  expect(run.supervision.receive({ type: 'draining', pid: 100, reason: 'late' })).toBe(false);
  expect(run.supervision.status).toEqual(before);
  expect(run.supervision.receive({ type: 'draining', pid: 101, reason: 'now' })).toBe(true);
  expect(run.supervision.status.state).toBe('draining');
});
