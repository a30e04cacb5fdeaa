// Ten turns of one model call and one shell command, beside other durable agents: CPU per turn, runs per second, and a killed worker.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { queueId, runExecution, runMany, startExecution } from './support/execution.ts';
import { createLab, now, until } from './support/lab.ts';
import { createReport, median, printColumns } from './support/report.ts';
import { measureCpu, total, type CpuUsage } from './support/usage.ts';

const turns = 10;
const sequentialRuns = 15;
const parallelRuns = 50;
const atOnce = 10;
/** The engine compiles what it has seen a few hundred times: a worker that has just started costs half as much again. */
const warmUps = 20;
const kills = 5;
/** The worker dies so long after line 5 was written, in the middle of that call's second of sleep. */
const killAfterMs = 400;
const limitMs = 30_000;
const queueName = 'bench';
const expected = Array.from({ length: turns }, (_, index) => index + 1).join();

/** What others need for the same task on two cores, each measured once or twice under some load: a ±25 % comparison. */
const peers: readonly (readonly string[])[] = [
  ['Temporal + OpenAI Agents SDK, file', '25.3', '36.1', '90', '54.7', '1.8', '3.1–3.5', '1'],
  ['DBOS + PydanticAI, SQLite', '16.6–19.0', 'in worker', '21', '17.1–22.1', '4.7–5.5', '2.4', '1'],
  ['Restate, JS loop on Node 22', '3.8–4.0', '2.1', '6.4', '4.2–4.3', '26–27', '0.54–0.64', '1'],
  ['Restate, JS loop on Bun', '1.5', '2.1', '4.1', '2.9', '47', '0.61–0.64', '1'],
];

interface Stretch {
  readonly cpu: CpuUsage;
  readonly wallMs: number;
  readonly perSecond: number;
}

interface Recovery {
  /** From the kill until the model is asked for the next turn, and until that turn's line is in the file. */
  readonly nextCallMs: number;
  readonly nextLineMs: number;
  readonly linesTwice: number;
}

await using lab = createLab();
const model = await lab.startModel();
const server = await lab.startServer();
let worker = await lab.startWorker(queueName);
const queue = await queueId(server, queueName);
await runMany(warmUps, atOnce, runTurns);

const alone = await stretch(sequentialRuns, 1);
const parallel = await stretch(parallelRuns, atOnce);
const recoveries: Recovery[] = [];
for (let kill = 0; kill < kills; kill++) recoveries.push(await killAndRecover());

const span = (values: readonly number[]): string =>
  `${Math.min(...values).toFixed(2)}–${Math.max(...values).toFixed(2)}`;
const control = ({ server: own, temporal }: CpuUsage): string => `${own.toFixed(1)} + ${temporal.toFixed(1)}`;
printColumns([
  ['ms per turn', 'worker CPU', 'server CPU', 'wall', '10 at once: all CPU', 'runs/s', 'goes on s', 'lines twice'],
  [
    'kubiya (control plane + Temporal, file)',
    alone.cpu.worker.toFixed(1),
    control(alone.cpu),
    alone.wallMs.toFixed(1),
    `${parallel.cpu.worker.toFixed(1)} + ${control(parallel.cpu)}`,
    parallel.perSecond.toFixed(1),
    span(recoveries.map(({ nextCallMs }) => nextCallMs / 1000)),
    String(recoveries.reduce((sum, { linesTwice }) => sum + linesTwice, 0)),
  ],
  ...peers,
]);
console.log('');
const report = createReport();
report.add('CPU per turn in all, 1 at a time', 'ms', [total(alone.cpu)], { goal: 13 });
report.add('CPU per turn in all, 10 at a time', 'ms', [total(parallel.cpu)], { goal: 13 });
report.add('runs per second, 10 at a time', '/s', [parallel.perSecond], { goal: 12, isMoreBetter: true });
report.add(
  'kill -9 → next model call',
  'ms',
  recoveries.map(({ nextCallMs }) => nextCallMs),
  { goal: 2000 },
);
report.add(
  'kill -9 → next line',
  'ms',
  recoveries.map(({ nextLineMs }) => nextLineMs),
);
report.add('shells, CPU per turn', 'ms', [alone.cpu.tools]);
report.print(
  `${sequentialRuns} runs one at a time, ${parallelRuns} runs ten at a time, ${kills} kills; median wall of a run ${(alone.wallMs * turns).toFixed(0)} ms`,
);

async function runTurns(): Promise<number> {
  const { id, wallMs } = await runExecution(server, queue, `turns-${turns}`);
  const lines = ledger(id);
  if (lines.join() !== expected) throw new Error(`the ledger of ${id} is ${lines.join()}`);
  return wallMs;
}

async function stretch(runs: number, concurrency: number): Promise<Stretch> {
  const usage = measureCpu(worker, server);
  const startedAt = performance.now();
  const walls = await runMany(runs, concurrency, runTurns);
  const seconds = (performance.now() - startedAt) / 1000;
  return { cpu: usage(runs * turns), wallMs: median(walls) / turns, perSecond: runs / seconds };
}

/** The worker is started again at once, as a supervisor would. */
async function killAndRecover(): Promise<Recovery> {
  const { id, ended } = await startExecution(server, queue, `turns-${turns}-slow-5`);
  await until(() => ledger(id).includes('5'), limitMs);
  await Bun.sleep(killAfterMs);
  await model.asked();
  const killedAt = now();
  await worker.kill();
  const [next, nextLineMs] = await Promise.all([
    lab.startWorker(queueName),
    until(() => ledger(id).includes('6'), limitMs).then(() => now() - killedAt),
  ]);
  worker = next;
  const status = await ended;
  const { asked } = await model.asked();
  const lines = ledger(id);
  if (status !== 'completed' || new Set(lines).size !== turns)
    throw new Error(`${id} ended ${status}: ${lines.join()}`);
  return { nextCallMs: (asked[0] ?? Number.NaN) - killedAt, nextLineMs, linesTwice: lines.length - turns };
}

function ledger(id: string): string[] {
  const path = join(lab.home, 'workers', queueName, 'workspace', id, 'ledger');
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
}
