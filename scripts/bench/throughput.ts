// Executions per second at concurrency 10 through HTTP, each followed over its event stream: one tool call and the model calls around it.
import { queueId, runExecution, runMany } from './support/execution.ts';
import { createLab } from './support/lab.ts';
import { createReport } from './support/report.ts';
import { measureCpu, total } from './support/usage.ts';

const executions = 200;
const atOnce = 10;
/** Loads every module and fills the caches of the three processes. */
const warmUps = 20;

await using lab = createLab();
const model = await lab.startModel();
const server = await lab.startServer();
const worker = await lab.startWorker('bench');
const queue = await queueId(server, 'bench');
const run = () => runExecution(server, queue, 'turns-1');
await runMany(warmUps, atOnce, run);
await model.asked();

const usage = measureCpu(worker, server);
const startedAt = performance.now();
const walls = (await runMany(executions, atOnce, run)).map(({ wallMs }) => wallMs);
const perSecond = executions / ((performance.now() - startedAt) / 1000);
const cpu = usage(executions);
const { asked } = await model.asked();
if (asked.length !== executions * 2) throw new Error(`the model was asked ${asked.length} times`);

const report = createReport();
report.add('executions per second', '/s', [perSecond], { bar: 15, goal: 25, isMoreBetter: true });
report.add('request → done', 'ms', walls);
report.add('CPU per execution: worker', 'ms', [cpu.worker]);
report.add('CPU per execution: control plane', 'ms', [cpu.server]);
report.add('CPU per execution: Temporal', 'ms', [cpu.temporal]);
report.add('CPU per execution: these together', 'ms', [total(cpu)]);
report.add('CPU per execution: shells', 'ms', [cpu.tools]);
report.print(
  `${executions} executions, ${atOnce} at a time, each followed by a reader; the Python worker that this replaces: 1.57 /s`,
);
