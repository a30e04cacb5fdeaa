// The heartbeat loop against a clock that the test moves: when beats are sent, and that nobody is hammered.
import { describe, expect, test } from 'bun:test';
import { startHeartbeat, type HeartbeatOptions } from '../../../src/controlplane/heartbeat.ts';
import { KubiyaError } from '../../../src/errors.ts';
import { createManualClock } from '../../support/manual-clock.ts';

const intervalMs = 30_000;
const refusal = (code: string): KubiyaError => new KubiyaError(`refused: ${code}`, { kind: 'api_refused', code });

function lab(options: Partial<HeartbeatOptions> = {}) {
  const clock = createManualClock();
  const beats: { readonly id: string; readonly atMs: number }[] = [];
  let answer: (id: string) => Promise<void> = () => Promise.resolve();
  const errors: (string | undefined)[] = [];
  const startMs = clock.elapsed();
  const loop = startHeartbeat({
    client: {
      sendHeartbeat: (id) => {
        beats.push({ id, atMs: clock.elapsed() - startMs });
        return answer(id);
      },
    },
    workerId: 'w1',
    intervalMs,
    payload: () => ({}),
    onUnknownWorker: () => Promise.resolve(undefined),
    onBeat: ({ error }) => errors.push(error?.code),
    clock,
    random: () => 0.5,
    ...options,
  });
  return {
    clock,
    loop,
    errors,
    times: () => beats.map(({ atMs }) => atMs),
    ids: () => beats.map(({ id }) => id),
    answer: (next: (id: string) => Promise<void>) => (answer = next),
  };
}

describe('while they arrive', () => {
  test('one at once and one per interval', async () => {
    const { clock, loop, times } = lab();
    await clock.advance(2 * intervalMs);
    expect(times()).toEqual([0, intervalMs, 2 * intervalMs]);
    expect(await loop.first).toBe(true);
    expect(loop.counters).toEqual({ sent: 3, failed: 0 });
    await clock.advance(7_000);
    expect(loop.lastSuccessAgeMs()).toBe(7_000);
    await loop.stop();
  });

  test('a wall clock that is set does not move their age', async () => {
    const { clock, loop } = lab();
    await clock.advance(1_000);
    for (const ms of [-3_600_000, 7_200_000]) {
      clock.jump(ms);
      expect(loop.lastSuccessAgeMs()).toBe(1_000);
    }
    await loop.stop();
  });

  test('one that is asked for goes out now, also when it is asked for during another', async () => {
    const { clock, loop, times } = lab();
    await clock.advance(5_000);
    loop.beatNow();
    await clock.advance(1);
    expect(times()).toEqual([0, 5_000]);
    await clock.advance(intervalMs);
    expect(times()).toEqual([0, 5_000, 5_000 + intervalMs]);
    await loop.stop();
  });
});

describe('while they fail', () => {
  test('the second follows soon, then one every ten seconds at most, and the interval is back with the first that arrives', async () => {
    const { clock, loop, times, answer, errors } = lab();
    await clock.advance(1);
    answer(() => Promise.reject(refusal('http_503')));
    await clock.advance(intervalMs + 20_000);
    answer(() => Promise.resolve());
    await clock.advance(intervalMs);
    expect(times()).toEqual([0, 30_000, 32_000, 39_500, 47_000, 54_500]);
    expect(errors).toEqual([undefined, 'http_503', 'http_503', 'http_503', 'http_503', undefined]);
    await loop.stop();
  });

  test('a server that says "slow down" is not hurried', async () => {
    const { clock, loop, times, answer } = lab();
    answer(() => Promise.reject(refusal('rate_limited')));
    await clock.advance(3 * intervalMs);
    expect(times().length).toBe(4);
    await loop.stop();
  });

  test('an interval below ten seconds stays what it is', async () => {
    const { clock, loop, times, answer } = lab({ intervalMs: 3_000 });
    answer(() => Promise.reject(refusal('http_503')));
    await clock.advance(11_000);
    expect(times()).toEqual([0, 2_000, 5_000, 8_000, 11_000]);
    await loop.stop();
  });
});

describe('a server that does not know the worker', () => {
  test.each(['not_found', 'worker_not_found', 'conflict', 'http_410'])('%s: a new id is told at once', async (code) => {
    const { clock, loop, ids, times, answer } = lab({ onUnknownWorker: () => Promise.resolve('w2') });
    await clock.advance(1);
    answer((id) => (id === 'w1' ? Promise.reject(refusal(code)) : Promise.resolve()));
    await clock.advance(2 * intervalMs);
    expect(ids()).toEqual(['w1', 'w1', 'w2', 'w2']);
    expect(times()).toEqual([0, intervalMs, intervalMs, 2 * intervalMs]);
    expect(loop.workerId()).toBe('w2');
    await loop.stop();
  });

  test('that forgets each new id as well is asked ever less often', async () => {
    let registrations = 0;
    const { clock, loop, times, answer } = lab({ onUnknownWorker: () => Promise.resolve(`w${(registrations += 1)}`) });
    answer(() => Promise.reject(refusal('not_found')));
    await clock.advance(60_000);
    expect(times().slice(0, 4)).toEqual([0, 0, 7_500, 15_000]);
    expect(registrations).toBeLessThan(12);
    await loop.stop();
  });

  test('and refuses a registration is asked with the old id until it gives one', async () => {
    const { clock, loop, ids, answer } = lab();
    answer(() => Promise.reject(refusal('not_found')));
    await clock.advance(12_000);
    expect(ids()).toEqual(['w1', 'w1', 'w1']);
    loop.setWorkerId('w9');
    await clock.advance(1);
    expect(ids().at(-1)).toBe('w9');
    await loop.stop();
  });
});

test('nothing is sent after stop, and what is under way ends with it', async () => {
  const { clock, loop, times } = lab({
    client: {
      sendHeartbeat: (_id, _body, call) =>
        new Promise((_resolve, reject) => call?.signal?.addEventListener('abort', () => reject(new Error('aborted')))),
    },
  });
  await clock.advance(1_000);
  await loop.stop();
  await clock.advance(3 * intervalMs);
  expect(times()).toEqual([]);
});
