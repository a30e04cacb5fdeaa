// What a worker says of its control plane, when it is not ready, and which jumps of time it notices.
import { describe, expect, test } from 'bun:test';
import { KubiyaError } from '../../../src/errors.ts';
import {
  createControlPlaneHealth,
  notReadyReason,
  watchTime,
  type ReadinessFacts,
} from '../../../src/processes/session-health.ts';
import { createLinesLog, createManualClock } from '../../support/manual-clock.ts';

const away = (message: string) => new KubiyaError(message, { kind: 'network', code: 'unreachable' });

describe('the control plane', () => {
  test('is down after two lost heartbeats and up after one, and each change is said once', () => {
    const clock = createManualClock();
    const { lines, log } = createLinesLog();
    const health = createControlPlaneHealth({ address: 'http://cp', clock, log });
    expect(health.view()).toMatchObject({ is_up: true, reason: null, since: '2026-01-01T00:00:00.000Z' });
    clock.jump(60_000);
    health.noteBeat(away('no answer'));
    expect(health.view().is_up).toBe(true);
    health.noteBeat(away('no answer'));
    expect(health.view()).toMatchObject({ is_up: false, reason: 'no answer', since: '2026-01-01T00:01:00.000Z' });
    for (let count = 0; count < 50; count += 1) health.noteBeat(away('the host was not found'));
    expect(health.view()).toMatchObject({ reason: 'the host was not found', since: '2026-01-01T00:01:00.000Z' });
    health.noteBeat(undefined);
    expect(health.view()).toMatchObject({ is_up: true, reason: null });
    expect(lines.filter((line) => !line.startsWith('debug'))).toEqual([
      'warn Heartbeats do not arrive; work goes on',
      'info Heartbeats arrive again',
    ]);
  });

  test('that refuses the key is no accident', () => {
    const { log } = createLinesLog();
    const health = createControlPlaneHealth({ address: 'http://cp', clock: createManualClock(), log });
    health.noteBeat(new KubiyaError('the key is not valid', { kind: 'authentication', code: 'unauthorized' }));
    expect(health.view()).toMatchObject({ is_up: false, reason: 'the key is not valid' });
  });
});

const up = (address: string) => ({ address, is_up: true, since: '2026-01-01T00:00:00Z', reason: null });
const facts: ReadinessFacts = {
  heartbeatAgeMs: 10_000,
  heartbeatIntervalMs: 30_000,
  controlPlane: up('http://cp'),
  temporal: up('t:7233'),
  pollAgeMs: 60_000,
};

describe('readiness', () => {
  test('is given while both are well, also before Temporal was asked', () => {
    expect(notReadyReason(facts)).toBeNull();
    expect(notReadyReason({ ...facts, pollAgeMs: null })).toBeNull();
  });

  test('a control plane that is down for a moment does not take it', () => {
    const controlPlane = { ...up('http://cp'), is_up: false, reason: 'no answer' };
    expect(notReadyReason({ ...facts, controlPlane, heartbeatAgeMs: 75_000 })).toBeNull();
    expect(notReadyReason({ ...facts, controlPlane, heartbeatAgeMs: 75_001 })).toBe(
      'no heartbeat has arrived for 75 s: no answer',
    );
  });

  test.each([
    [{ heartbeatAgeMs: null }, 'no heartbeat has arrived yet'],
    [{ pollAgeMs: 151_000 }, 'Temporal has seen no poll for 151 s'],
    [{ temporal: { ...up('t:7233'), is_up: false, reason: 'refused' } }, 'Temporal at t:7233 cannot be used: refused'],
  ] as const)('%j takes it', (change, reason) => {
    expect(notReadyReason({ ...facts, ...change })).toBe(reason);
  });
});

describe('time', () => {
  async function watched(act: (clock: ReturnType<typeof createManualClock>) => Promise<void>): Promise<number[]> {
    const clock = createManualClock();
    const over = new AbortController();
    const jumps: number[] = [];
    const watch = watchTime(clock, (ms) => jumps.push(ms), over.signal);
    await clock.advance(10_000);
    await act(clock);
    await clock.advance(10_000);
    over.abort();
    await watch;
    return jumps;
  }

  test('that runs is nothing to speak of, nor a clock that is corrected by seconds', async () => {
    expect(
      await watched(async (clock) => {
        clock.jump(3_000);
        await clock.advance(4_000);
        clock.jump(-2_000);
      }),
    ).toEqual([]);
  });

  test('a wall clock that is set back is none of our business', async () => {
    expect(await watched(async (clock) => clock.jump(-86_400_000))).toEqual([]);
  });

  test('a machine that slept is noticed once', async () => {
    expect(await watched(async (clock) => clock.jump(3_600_000))).toEqual([3_600_000]);
  });
});
