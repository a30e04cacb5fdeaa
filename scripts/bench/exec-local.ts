// `kubiya exec --local` on a warm machine: from the process's start to its first event and to its end.
import { createLab } from './support/lab.ts';
import { runProgram } from './support/program.ts';
import { createReport } from './support/report.ts';

const runs = 10;
/** Extracts the dev server and the native addon, which later runs find. */
const warmUpRuns = 1;

await using lab = createLab();
const words = ['exec', '--local', '--yes', '--model', 'kubiya/offline', '--stream-format', 'json', 'run `echo hello`'];
const firstEvent: number[] = [];
const firstRun: number[] = [];
const toEnd: number[] = [];
for (let run = -warmUpRuns; run < runs; run++) {
  const { startedAt, firstOutputAt, textAt, endedAt } = await runProgram(lab, words, '"tool_started"');
  if (run < 0) continue;
  firstEvent.push(firstOutputAt - startedAt);
  firstRun.push(textAt - startedAt);
  toEnd.push(endedAt - startedAt);
}
const report = createReport();
report.add('start → first event', 'ms', firstEvent, { bar: 1200 });
report.add('start → first command of the agent', 'ms', firstRun);
report.add('start → exit', 'ms', toEnd, { bar: 2500 });
report.print('a private control plane, Temporal server and worker come up and go again in each run');
