// Asks `worker status` every second and compares each answer with the processes that /proc showed before and after it.
import { readFileSync } from 'node:fs';
import type { WorkerStatus } from '../../src/protocol/instance.ts';
import type { Home } from '../support/binary.ts';
import { type CommandOptions, runCommand } from '../support/run-binary.ts';

/** What /proc shows of a daemon at one moment. */
export interface Scene {
  readonly workers: readonly { readonly pid: number; readonly isFrozen: boolean }[];
  readonly supervisors: readonly number[];
}

export interface Poll {
  readonly atMs: number;
  readonly durationMs: number;
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly before: Scene;
  readonly after: Scene;
}

/** A daemon's worker and its supervisor carry the tag; a start that is refused, or a launcher, does not. */
export function sceneOf(home: Home, queue: string): Scene {
  const tagged = home.processes().filter((line) => line.includes(`--tag=worker.py:${queue} `));
  const pidsOf = (word: string): number[] =>
    tagged.filter((line) => line.includes(word)).map((line) => Number.parseInt(line, 10));
  return {
    workers: pidsOf(' worker start ').map((pid) => ({ pid, isFrozen: stateOf(pid) === 'T' })),
    supervisors: pidsOf(' __supervisor '),
  };
}

function stateOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.charAt(stat.lastIndexOf(')') + 2);
  } catch {
    // It has just gone.
    return '';
  }
}

/** A child of a worker looks like the worker between its fork and its exec: two workers are two that are there again a moment later. */
export async function settledScene(home: Home, queue: string): Promise<Scene> {
  const first = sceneOf(home, queue);
  if (first.workers.length < 2) return first;
  await new Promise((done) => setTimeout(done, 50));
  const second = sceneOf(home, queue);
  const still = new Set(second.workers.map(({ pid }) => pid));
  return { ...second, workers: first.workers.filter(({ pid }) => still.has(pid)) };
}

/** What is not true in the answer, one sentence each. `previous` are the workers of the poll before. */
export function untruths(poll: Poll, previous: ReadonlySet<number>): string[] {
  const { code, stdout, stderr, before, after, durationMs } = poll;
  const found: string[] = [];
  if (before.workers.length > 1 || after.workers.length > 1)
    found.push(`two workers run: ${JSON.stringify([before, after])}`);
  if (durationMs > answerMsMax) found.push(`it took ${Math.round(durationMs)} ms`);
  let status: WorkerStatus;
  try {
    status = JSON.parse(stdout) as WorkerStatus;
  } catch {
    return [...found, `exit ${code} with no JSON: ${stdout}${stderr}`];
  }
  const { state, healthy, worker_pid: pid } = status;
  const say = (sentence: string): void =>
    void found.push(`${sentence}; it said ${summary(status)}, /proc ${JSON.stringify([before, after])}`);
  const [pidsBefore, pidsAfter] = [before, after].map(({ workers }) => workers.map((worker) => worker.pid)) as [
    number[],
    number[],
  ];
  const isThere = (candidate: number): boolean => pidsBefore.includes(candidate) || pidsAfter.includes(candidate);
  if (code !== (healthy ? 0 : 1)) say(`exit ${code} does not agree with healthy ${healthy}`);
  if (healthy && state !== 'running') say('healthy without running');
  if (pid !== null && !isThere(pid)) say(`${pid} is no worker`);
  if ((state === 'running' || state === 'draining') && pid === null) say(`${state} without a process`);
  const stable = before.workers.find((worker) => pidsAfter.includes(worker.pid));
  if (stable !== undefined && previous.has(stable.pid) && /^(stopped|failed|backing-off)$/.test(state))
    say(`${state} although ${stable.pid} runs`);
  const isFrozenThroughout = stable?.isFrozen === true && after.workers.every(({ isFrozen }) => isFrozen);
  if (isFrozenThroughout && healthy) say('healthy although it is frozen');
  if (pidsBefore.length === 0 && pidsAfter.length === 0 && state === 'running') say('running with nothing there');
  return found;
}

/** A frozen process costs a second of waiting; the rest is for a busy machine. */
const answerMsMax = 6_000;

function summary({ state, healthy, pid, worker_pid, reason }: WorkerStatus): string {
  return JSON.stringify({ state, healthy, pid, worker_pid, reason });
}

export interface StatusPolls {
  readonly count: number;
  /** Everything that was not true so far. */
  readonly untruths: readonly string[];
  stop(): Promise<void>;
}

const pollEveryMs = 1_000;
/** A look costs three milliseconds. */
const sceneEveryMs = 150;

/** Until it is stopped, also while everything else goes on. */
export function pollStatus(queue: string, options: CommandOptions): StatusPolls {
  const all: string[] = [];
  let previous: ReadonlySet<number> = new Set();
  let count = 0;
  const over = new AbortController();
  const look = async (): Promise<void> => {
    const before = await settledScene(options.home, queue);
    const startMs = performance.now();
    const result = await runCommand(['worker', 'status', '--queue-id', queue, '--json'], options);
    const durationMs = performance.now() - startMs;
    const after = await settledScene(options.home, queue);
    const at = new Date().toISOString();
    for (const sentence of untruths({ ...result, atMs: Date.now(), durationMs, before, after }, previous))
      all.push(`status at ${at}: ${sentence}`);
    previous = new Set(after.workers.map(({ pid }) => pid));
    count += 1;
  };
  /** Between two questions, because a second worker may be there for less than a second. */
  const watch = async (untilMs: number): Promise<void> => {
    while (performance.now() < untilMs) {
      const { workers } = await settledScene(options.home, queue);
      if (workers.length > 1)
        all.push(`at ${new Date().toISOString()} there are two workers: ${JSON.stringify(workers)}`);
      await new Promise((done) => setTimeout(done, Math.min(sceneEveryMs, Math.max(0, untilMs - performance.now()))));
    }
  };
  const loop = (async () => {
    while (!over.signal.aborted) {
      const startMs = performance.now();
      await look().catch((error: unknown) => all.push(`status could not be asked: ${String(error)}`));
      await watch(startMs + pollEveryMs);
    }
  })();
  return {
    get count() {
      return count;
    },
    untruths: all,
    stop: async () => {
      over.abort();
      await loop;
    },
  };
}
