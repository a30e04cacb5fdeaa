// The long forms of the chaos tests, by hand: `bun run test/chaos/long.ts kill|kill-node|outage|team`; KUBIYA_TEST_SEED repeats a run.
import { resumption, violations } from './kill-checks.ts';
import { runKills } from './kill-run.ts';
import { type Outage, runOutages } from './outage-run.ts';
import { testSeed } from './random.ts';
import { runTeam } from './team-run.ts';
import { nodeVictimsInTurn, useWayToRun } from '../support/worker-process.ts';

const hitsPerWindow = 5;
const drawLimitMs = 20 * 60_000;

async function kills(seed: number): Promise<readonly string[]> {
  const run = await runKills({ seed, hitsPerWindow, drawLimitMs, say: (line) => console.log(line) });
  console.log(`${run.kills.length} kills of ${run.executions.length} executions`, Object.fromEntries(run.hits));
  const resumed = resumption(run);
  console.log('progress after the new worker was ready', resumed);
  return resumed.p90Ms > 5_000 || resumed.maxMs > 12_000
    ? [...violations(run), 'progress resumed too late']
    : violations(run);
}

/** The binary, its Node process and both of them, in turn. */
function killsUnderNode(seed: number): Promise<readonly string[]> {
  useWayToRun(nodeVictimsInTurn());
  return kills(seed);
}

async function outages(seed: number): Promise<readonly string[]> {
  const ofEach = (outage: Outage): Outage[] => Array.from({ length: 10 }, () => outage);
  const all = [
    ...ofEach({ kind: 'killed', seconds: 0.5 }),
    ...ofEach({ kind: 'killed', seconds: 15 }),
    ...ofEach({ kind: 'frozen', seconds: 15 }),
  ];
  const results = await runOutages(all, seed, (line) => console.log(line));
  const late = results.filter(({ resumedMs }) => Math.max(...resumedMs) > 15_000);
  const found = results.flatMap(({ violations }) => violations);
  return late.length === 0 ? found : [...found, `progress resumed too late after ${late.length} outages`];
}

const forms: Readonly<Record<string, (seed: number) => Promise<readonly string[]>>> = {
  kill: kills,
  'kill-node': killsUnderNode,
  outage: outages,
  team: (seed) => runTeam({ seed, kills: 20, say: (line) => console.log(line) }),
};
const form = forms[process.argv[2] ?? ''];
const seed = testSeed();
console.log(`KUBIYA_TEST_SEED=${seed}`);
const found = form === undefined ? ['usage: bun run test/chaos/long.ts kill|kill-node|outage|team'] : await form(seed);
for (const sentence of found) console.log(`(fail) ${sentence}`);
process.exit(found.length === 0 ? 0 : 1);
