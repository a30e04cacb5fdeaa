// The long forms of the chaos tests, by hand: `bun run test/chaos/long.ts kill|outage`; KUBIYA_TEST_SEED repeats a run.
import { resumption, violations } from './kill-checks.ts';
import { runKills } from './kill-run.ts';
import { testSeed } from './random.ts';

const hitsPerWindow = 5;
const drawLimitMs = 20 * 60_000;

async function kills(seed: number): Promise<readonly string[]> {
  const run = await runKills({ seed, hitsPerWindow, drawLimitMs, say: (line) => console.log(line) });
  console.log(`${run.kills.length} kills of ${run.executions.length} executions`, Object.fromEntries(run.hits));
  const resumed = resumption(run);
  console.log('progress after the new worker was ready', resumed);
  return resumed.p90Ms > 5_000 || resumed.maxMs > 12_000 ? [...violations(run), 'progress resumed too late'] : violations(run);
}

const seed = testSeed();
console.log(`KUBIYA_TEST_SEED=${seed}`);
const found = process.argv[2] === 'kill' ? await kills(seed) : ['usage: bun run test/chaos/long.ts kill|outage'];
for (const sentence of found) console.log(`(fail) ${sentence}`);
process.exit(found.length === 0 ? 0 : 1);
