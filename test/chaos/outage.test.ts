// Temporal goes away under running calls and comes back: every call ends normally and once, and executions go on soon.
import { expect, test } from 'bun:test';
import { createHome, tryKill } from '../support/binary.ts';
import { startLocalServer } from '../support/local-server.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import { holdPort, type Outage, runOutages } from './outage-run.ts';
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

test('a worker that is started while Temporal is away waits for it', async () => {
  const home = createHome();
  try {
    const server = await startLocalServer({ home });
    tryKill(server.temporalPid(), 'SIGKILL');
    const holder = await holdPort(server.temporalAddress);
    setTimeout(() => holder.close(), 2_000);
    const { process } = await startWorkerProcess({ home, queue: 'early', words: ['--model', 'kubiya/offline'] });
    expect(process.output()).toContain('Temporal could not be reached, trying again');
    const id = await server.execute('run `echo here-we-are`', 'early');
    expect(await server.ended(id, 30_000)).toMatchObject({ response: expect.stringContaining('here-we-are') });
    await process.end('SIGTERM');
    await server.stop();
  } finally {
    home.remove();
  }
});
