// Temporal goes away under running calls and comes back: every call ends normally and once, and executions go on soon.
import { expect, test } from 'bun:test';
import { type Outage, runOutages } from './outage-run.ts';
import { testSeed } from './random.ts';

const resumedWithinMsMax = 15_000;
const outages: readonly Outage[] = [
  { kind: 'killed', seconds: 0.5 },
  { kind: 'killed', seconds: 15 },
  { kind: 'frozen', seconds: 4 }, // longer than a heartbeat's timeout
];

test('Temporal is killed for a moment and for 15 s, and frozen', async () => {
  const seed = testSeed();
  console.log(`KUBIYA_TEST_SEED=${seed}`);
  const results = await runOutages(outages, seed, (line) => console.log(line));
  expect(results.flatMap(({ violations }) => violations)).toEqual([]);
  for (const { outage, awayMs, resumedMs } of results) {
    expect(awayMs).toBeGreaterThanOrEqual(outage.seconds * 1000);
    expect(resumedMs).not.toBeEmpty();
    expect(Math.max(...resumedMs)).toBeLessThanOrEqual(resumedWithinMsMax);
  }
});
