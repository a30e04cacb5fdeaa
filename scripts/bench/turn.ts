// How long one durable turn takes, a model call and a tool call that both answer at once, beside two empty activities on the same server.
import { intervals, startBareLoop } from './support/bare-loop.ts';
import { queueId, runExecution } from './support/execution.ts';
import { createLab } from './support/lab.ts';
import { createReport, median } from './support/report.ts';
import { childOf, cpuMs } from './support/proc.ts';
import { measureCpu } from './support/usage.ts';

/** In turns, so that a neighbour slows both. */
const rounds = 12;
const warmUpRounds = 3;
const turns = 20;

await using lab = createLab();
const model = await lab.startModel();
const server = await lab.startServer();
const worker = await lab.startWorker('bench');
const queue = await queueId(server, 'bench');
const bare = await startBareLoop(lab, server);
const temporal = childOf(server.pid, 'start-dev');

const times: Record<'ours' | 'shell' | 'bare', number[]> = { ours: [], shell: [], bare: [] };
const cpu: Record<'worker' | 'server' | 'temporal' | 'bareWorker' | 'bareTemporal', number[]> = {
  worker: [],
  server: [],
  temporal: [],
  bareWorker: [],
  bareTemporal: [],
};
for (let round = -warmUpRounds; round < rounds; round++) {
  const usage = measureCpu(worker, server);
  const ours = await turnsOf('files');
  const used = usage(turns);
  const before = { worker: cpuMs(bare.worker.pid), temporal: cpuMs(temporal) };
  const least = await bare.run(turns);
  const after = { worker: cpuMs(bare.worker.pid), temporal: cpuMs(temporal) };
  const shell = await turnsOf('turns');
  if (round < 0) continue;
  times.ours.push(...ours);
  times.bare.push(...least);
  times.shell.push(...shell);
  cpu.worker.push(used.worker);
  cpu.server.push(used.server);
  cpu.temporal.push(used.temporal);
  cpu.bareWorker.push((after.worker - before.worker) / turns);
  cpu.bareTemporal.push((after.temporal - before.temporal) / turns);
}
await bare.close();

const report = createReport();
report.add('a turn: model and file', 'ms', times.ours, { bar: 30, goal: 20 });
report.add('two empty activities', 'ms', times.bare);
report.ratio('a turn is so much as two empty activities', median(times.ours) / median(times.bare), { bar: 1.4 });
report.add('a turn with a shell command', 'ms', times.shell);
report.add('CPU of a turn: worker', 'ms', cpu.worker);
report.add('CPU of a turn: control plane', 'ms', cpu.server);
report.add('CPU of a turn: Temporal', 'ms', cpu.temporal);
report.add('CPU of two activities: worker', 'ms', cpu.bareWorker);
report.add('CPU of two activities: Temporal', 'ms', cpu.bareTemporal);
report.print(`${rounds} rounds of ${turns} turns each, one after the other; file database, journal on`);

async function turnsOf(kind: 'files' | 'turns'): Promise<number[]> {
  await model.asked();
  await runExecution(server, queue, `${kind}-${turns}`);
  const { asked } = await model.asked();
  return intervals(asked.slice(0, turns));
}
