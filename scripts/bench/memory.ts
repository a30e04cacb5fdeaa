// What an idle worker holds in memory, with the server in a process of its own, and what it holds after some work.
import { queueId, runExecution, runMany } from './support/execution.ts';
import { createLab } from './support/lab.ts';
import { childOf, residentMegabytes } from './support/proc.ts';
import { createReport } from './support/report.ts';

const workers = 3;
/** A start's garbage is given back within this time. */
const settleMs = 5_000;
const executions = 50;
const atOnce = 10;

await using lab = createLab();
await lab.startModel();
const server = await lab.startServer();
const temporal = childOf(server.pid, 'start-dev');
const idle: number[] = [];
for (let index = 0; index < workers; index++) {
  const worker = await lab.startWorker('bench');
  await Bun.sleep(settleMs);
  idle.push(residentMegabytes(worker.pid));
  await worker.stop();
}
const serverIdle = residentMegabytes(server.pid);
const temporalIdle = residentMegabytes(temporal);
const worker = await lab.startWorker('bench');
const queue = await queueId(server, 'bench');
await runMany(executions, atOnce, () => runExecution(server, queue, 'turns-1'));
await Bun.sleep(settleMs);

const report = createReport();
report.add('worker, idle', 'MB', idle, { bar: 230, goal: 200 });
report.add('control plane, idle', 'MB', [serverIdle]);
report.add('Temporal, idle', 'MB', [temporalIdle]);
report.add(`worker after ${executions} executions`, 'MB', [residentMegabytes(worker.pid)]);
report.add('control plane, the same', 'MB', [residentMegabytes(server.pid)]);
report.add('Temporal, the same', 'MB', [residentMegabytes(temporal)]);
report.print('resident memory; the Python worker that this replaces: 305 MB idle');
