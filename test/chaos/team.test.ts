// A three-member team with sixty tool calls survives kills of its worker: every effect once, or told as interrupted.
import { expect, test } from 'bun:test';
import { testSeed } from './random.ts';
import { runTeam } from './team-run.ts';

/** The long form (test/chaos/long.ts team) kills twenty times. */
const kills = 5;

test('a team survives five kills of its worker', async () => {
  const seed = testSeed();
  console.log(`KUBIYA_TEST_SEED=${seed}`);
  expect(await runTeam({ seed, kills, say: (line) => console.log(line) })).toEqual([]);
}, 120_000);
