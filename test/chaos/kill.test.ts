// Kill -9 of the worker in each of the five windows: every execution completes, nothing runs twice, nothing is left.
import { expect, test } from 'bun:test';
import { resumption, violations } from './kill-checks.ts';
import { runKills } from './kill-run.ts';
import { testSeed } from './random.ts';
import { windows } from './windows.ts';

/** The drawing takes about 20 s; the long form (test/chaos/long.ts) draws five of each. */
const drawLimitMs = 110_000;
/** On a quiet machine nine of ten come back within 5 s; this is for a busy one. */
const resumedWithinMsMax = 12_000;

test('a worker is killed with -9 at every kind of moment', async () => {
  const seed = testSeed();
  console.log(`KUBIYA_TEST_SEED=${seed}`);
  const run = await runKills({ seed, hitsPerWindow: 1, drawLimitMs, say: (line) => console.log(line) });
  const resumed = resumption(run);
  console.log(
    `${run.kills.length} kills of ${run.executions.length} executions`,
    Object.fromEntries(run.hits),
    resumed,
  );
  expect(violations(run)).toEqual([]);
  expect(windows.filter((window) => !run.hits.has(window))).toEqual([]);
  expect(resumed.maxMs).toBeLessThanOrEqual(resumedWithinMsMax);
});
