// The watch over Temporal against a clock that the test moves: when it is down, how old the last poll is, and that it asks one question at a time.
import { describe, expect, test } from 'bun:test';
import { startTemporalWatch, type TaskQueueView } from '../../../src/worker/temporal-watch.ts';
import { createLinesLog, createManualClock } from '../../support/manual-clock.ts';

const intervalMs = 5_000;

function lab() {
  const clock = createManualClock();
  const { lines, log } = createLinesLog();
  let look: () => Promise<TaskQueueView> = () => Promise.resolve({ lastPollAtMs: clock.now(), backlog: 0 });
  let looks = 0;
  const watch = startTemporalWatch({
    look: () => {
      looks += 1;
      return look();
    },
    intervalMs,
    address: () => 't:7233',
    clock,
    log,
  });
  return { clock, watch, lines, looks: () => looks, answer: (next: typeof look) => (look = next) };
}

const grpcError = (code: number, details: string) =>
  Object.assign(new Error(`code ${code}: ${details}`), { code, details });

describe('an outage', () => {
  test('is one when a second look has failed as well; both ends are said once', async () => {
    const { clock, watch, lines, answer } = lab();
    await clock.advance(1_000);
    expect(watch.health()).toMatchObject({ isUp: true, reason: null, backlog: 0 });
    answer(() => Promise.reject(grpcError(14, 'tcp connect error')));
    await clock.advance(4_000);
    expect(watch.health().isUp).toBe(true);
    await clock.advance(1_000);
    expect(watch.health()).toMatchObject({ isUp: false, isRefused: false, reason: 'tcp connect error' });
    await clock.advance(600_000);
    answer(() => Promise.resolve({ lastPollAtMs: 1, backlog: 3 }));
    await clock.advance(intervalMs);
    expect(watch.health()).toMatchObject({ isUp: true, reason: null, backlog: 3 });
    expect(lines).toEqual(['warn Temporal does not answer; running calls go on', 'info Temporal answers again']);
    await watch.stop();
  });

  test('one lost answer is none', async () => {
    const { clock, watch, lines, answer } = lab();
    await clock.advance(1);
    let count = 0;
    answer(() => {
      count += 1;
      return count % 2 === 1 ? Promise.reject(grpcError(14, 'lost')) : Promise.resolve({ lastPollAtMs: 1, backlog: 0 });
    });
    await clock.advance(60_000);
    expect(watch.health().isUp).toBe(true);
    expect(lines).toEqual([]);
    await watch.stop();
  });

  test('a server that hangs is asked once, not again and again, and does not hold the stop', async () => {
    const { clock, watch, looks, answer } = lab();
    await clock.advance(1);
    const before = looks();
    answer(() => new Promise(() => undefined));
    await clock.advance(120_000);
    expect(watch.health()).toMatchObject({ isUp: false, reason: 'no answer within 4 s' });
    expect(looks()).toBe(before + 1);
    await watch.stop();
  });

  test.each([7, 16])('code %d is a refusal, known at once', async (code) => {
    const { clock, watch, lines, answer } = lab();
    await clock.advance(1);
    answer(() => Promise.reject(grpcError(code, 'the key has expired')));
    await clock.advance(intervalMs);
    expect(watch.health()).toMatchObject({ isUp: false, isRefused: true, reason: 'the key has expired' });
    expect(lines).toEqual(['warn Temporal refuses this worker’s key; running calls go on']);
    await watch.stop();
  });
});

describe('the age of the last poll', () => {
  test('is measured here from when it was seen to change', async () => {
    const { clock, watch, answer } = lab();
    await clock.advance(1);
    answer(() => Promise.resolve({ lastPollAtMs: 42, backlog: 0 }));
    await clock.advance(intervalMs);
    expect(watch.health().pollAgeMs).toBe(1);
    await clock.advance(58_000);
    expect(watch.health().pollAgeMs).toBe(58_001);
    answer(() => Promise.resolve({ lastPollAtMs: 43, backlog: 0 }));
    await clock.advance(intervalMs);
    expect(watch.health().pollAgeMs).toBeLessThan(intervalMs);
    await watch.stop();
  });

  test('grows when the poller has vanished', async () => {
    const { clock, watch, answer } = lab();
    await clock.advance(1);
    answer(() => Promise.resolve({ lastPollAtMs: undefined, backlog: 0 }));
    await clock.advance(200_000);
    expect(watch.health().pollAgeMs).toBe(200_001);
    await watch.stop();
  });

  test.each([-3_600_000, 3_600_000])('a wall clock that is %d ms off makes it neither negative nor old', async (ms) => {
    const clock = createManualClock();
    clock.jump(ms);
    const watch = startTemporalWatch({
      look: () => Promise.resolve({ lastPollAtMs: clock.now() - ms, backlog: 0 }),
      intervalMs,
      address: () => 't:7233',
      clock,
      log: createLinesLog().log,
    });
    await clock.advance(20_000);
    expect(watch.health().pollAgeMs).toBeGreaterThanOrEqual(0);
    expect(watch.health().pollAgeMs).toBeLessThanOrEqual(20_000);
    await watch.stop();
  });
});

test('after a wake it looks at once', async () => {
  const { clock, watch, looks } = lab();
  await clock.advance(100);
  const before = looks();
  watch.wake();
  await clock.advance(1);
  expect(looks()).toBe(before + 1);
  await watch.stop();
});
