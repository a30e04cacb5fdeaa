// `kubiya exec agent` with server and worker running: from the process's start to the first request at the model, and text as it comes.
import { createLab } from './support/lab.ts';
import { runProgram } from './support/program.ts';
import { createReport } from './support/report.ts';

const runs = 20;
const warmUpRuns = 3;
/** Words of the answer, one every 100 ms: the first must be on the screen long before the last is there. */
const words = 5;

await using lab = createLab();
const model = await lab.startModel();
await lab.startServer();
await lab.startWorker('default');
const command = ['exec', 'agent', 'default', 'go', '--model', `openai/drip-${words}`];
const toRequest: number[] = [];
const toText: number[] = [];
const toEnd: number[] = [];
for (let run = -warmUpRuns; run < runs; run++) {
  const { startedAt, textAt, endedAt } = await runProgram(lab, command, 'drop0');
  const { asked, firstChunkAt } = await model.asked();
  if (run < 0) continue;
  toRequest.push((asked[0] ?? Number.NaN) - startedAt);
  toText.push(textAt - firstChunkAt);
  toEnd.push(endedAt - startedAt);
}
const report = createReport();
report.add('start → first request at the model', 'ms', toRequest, { bar: 300, goal: 150 });
report.add('first chunk of the model → on stdout', 'ms', toText, { bar: 100 });
report.add('start → exit', 'ms', toEnd);
report.print(`codex, which is not durable: 130 ms to its first request; the answer takes ${words * 100} ms to come`);
