// A daemon in four rounds of chaos, one of them a hang: no execution is lost, nothing runs twice, and its status is always true.
import { expect, test } from 'bun:test';
import { runDaemonChaos } from './daemon-run.ts';

/** Draws the four events below in an order of its own; `bun run chaos` draws anew each time. */
const seed = 20_261_124;

test('kill -9 of the worker, kill -9 of the supervisor, a hang, and SIGTERM', async () => {
  const chaos = await runDaemonChaos({
    seed,
    rounds: 4,
    events: ['kill_worker', 'kill_supervisor', 'hang_worker', 'term_worker'],
    liveness: { intervalMs: 500, limitMs: 3_000 },
    controlPlaneDownMs: 5_000,
    say: (line) => console.log(line),
  });
  console.log(`${chaos.polls} polls, ${chaos.executions} executions`);
  expect(chaos.violations).toEqual([]);
  expect(chaos.rounds).toHaveLength(4);
});
