// `bun test/unit/agent/reducer-long.ts [cases] [seed]`: the reducer under 100,000 interleavings, by hand.
import { checkReducer } from './reducer-machine.ts';

const runs = Number(process.argv[2] ?? 100_000);
const seed = process.argv[3] === undefined ? Date.now() % 2 ** 31 : Number(process.argv[3]);
const startedAt = performance.now();
checkReducer(runs, seed);
console.log(
  `${runs} interleavings kept every rule, seed ${seed}, ${Math.round((performance.now() - startedAt) / 1000)} s`,
);
