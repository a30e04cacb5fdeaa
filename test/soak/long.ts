// The long form of the soak, by hand: `bun run soak [minutes]`.
import { runSoak, soakSummary, soakViolations } from './soak-run.ts';

const minutesDefault = 30;
const minutes = Number(process.argv[2] ?? minutesDefault);
if (!(minutes > 0)) {
  console.log('usage: bun run soak [minutes]');
  process.exit(2);
}
const soak = await runSoak({ minutes, say: (line) => console.log(line) });
console.log(soakSummary(soak));
const found = soakViolations(soak);
for (const sentence of found) console.log(`(fail) ${sentence}`);
process.exit(found.length === 0 ? 0 : 1);
