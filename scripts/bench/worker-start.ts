// How long `kubiya worker start` takes until it is registered and polls, with the server up: from the process's start to its Ready line.
import { createLab } from './support/lab.ts';
import { createReport } from './support/report.ts';

const runs = 12;
/** Extracts the native addon and reads the binary into the page cache. */
const warmUpRuns = 2;

await using lab = createLab();
await lab.startServer();
const times: number[] = [];
for (let run = -warmUpRuns; run < runs; run++) {
  const worker = await lab.startWorker('bench');
  if (run >= 0) times.push(worker.readyMs);
  await worker.stop();
}
const report = createReport();
report.add('worker start → Ready', 'ms', times, { bar: 600, goal: 400 });
report.print('the Python worker that this replaces: 12,500 ms');
