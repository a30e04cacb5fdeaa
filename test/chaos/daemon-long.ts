// The long form of the chaos around a daemon, by hand: `bun run chaos [rounds] [event …]`; KUBIYA_TEST_SEED repeats a run.
import { type EventName, eventNames } from './daemon-events.ts';
import { runDaemonChaos } from './daemon-run.ts';
import { testSeed } from './random.ts';

/** Each event five times. */
const roundsDefault = 60;
const [given, ...names] = process.argv.slice(2);
const rounds = given === undefined ? roundsDefault : Number(given);
const unknown = names.filter((name) => !(eventNames as readonly string[]).includes(name));
if (!Number.isSafeInteger(rounds) || rounds < 1 || unknown.length > 0) {
  console.log(`usage: bun run chaos [rounds] [event …], events: ${eventNames.join(', ')}`);
  process.exit(2);
}
const seed = testSeed();
console.log(`KUBIYA_TEST_SEED=${seed}`);
const startMs = performance.now();
const chaos = await runDaemonChaos({
  seed,
  rounds,
  ...(names.length === 0 ? {} : { events: names as EventName[] }),
  liveness: undefined,
  controlPlaneDownMs: 20_000,
  say: (line) => console.log(line),
});
for (const event of eventNames) {
  const times = chaos.rounds.filter((round) => round.event === event).map(({ recoveredMs }) => Math.round(recoveredMs));
  if (times.length > 0)
    console.log(
      `${event.padEnd(20)} ${times.length} rounds, healthy after ${times.toSorted((a, b) => a - b).join(', ')} ms`,
    );
}
for (const sentence of chaos.violations) console.log(`(fail) ${sentence}`);
const minutes = ((performance.now() - startMs) / 60_000).toFixed(1);
console.log(
  `${chaos.rounds.length} rounds, ${chaos.executions} executions, ${chaos.polls} polls, ${chaos.violations.length} violations, ${minutes} minutes`,
);
process.exit(chaos.violations.length === 0 ? 0 : 1);
