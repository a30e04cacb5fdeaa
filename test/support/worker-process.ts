// `kubiya worker start` as a process of its own, waited for until it is ready.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BinaryOptions, type RunningBinary, startBinary, tryKill } from './binary.ts';

export interface WorkerProcess {
  readonly process: RunningBinary;
  /** Epoch milliseconds in the line that says Ready. */
  readonly readyAtMs: number;
  readonly workerId: string;
  readonly journalDirectory: string;
  readonly directory: string;
  /** Pid of the Node process of `--runtime node`; undefined when there is none. */
  nodePid(): number | undefined;
  /** The processes whose death this way of running is tested with. */
  victims(): readonly number[];
  /** Kills them with -9. */
  kill(): void;
}

/** How workers are started from here on, and who is killed when one is. */
export interface WayToRun {
  readonly runtime: 'auto' | 'node';
  /** Called once for each worker. */
  readonly victim: () => 'binary' | 'node' | 'both';
}

let way: WayToRun = { runtime: 'auto', victim: () => 'binary' };

/** For a test file that runs another one's tests in another way. */
export function useWayToRun(next: WayToRun): void {
  way = next;
}

export interface WorkerOptions extends BinaryOptions {
  readonly queue: string;
  readonly words?: readonly string[];
}

/** Under Node, where the binary, its Node process and both of them are killed in turn. */
export function nodeVictimsInTurn(): WayToRun {
  const victims = ['node', 'binary', 'both'] as const;
  let next = 0;
  return { runtime: 'node', victim: () => victims[next++ % victims.length] ?? 'node' };
}

export async function startWorkerProcess(options: WorkerOptions): Promise<WorkerProcess> {
  const { home, queue } = options;
  const runtime = way.runtime === 'node' ? ['--runtime', 'node'] : [];
  const words = ['worker', 'start', '--queue-id', queue, ...runtime, ...(options.words ?? [])];
  const running = startBinary(words, {
    ...options,
    environment: { LOG_FORMAT: 'json', ...options.environment },
  });
  const [line] = await running.waitFor(/^.*"msg":"Ready".*$/m);
  const { time, worker } = JSON.parse(line) as { time: number; worker: string };
  const directory = join(home.kubiyaHome, 'workers', queue);
  const nodePid = (): number | undefined => childOf(running.pid, 'node-worker-');
  const victim = way.victim();
  const node = nodePid();
  if (way.runtime === 'node' && node === undefined)
    throw new Error('the worker is ready, but there is no Node process');
  const victims = [...(victim === 'node' ? [] : [running.pid]), ...(victim === 'binary' ? [] : [node ?? running.pid])];
  return {
    nodePid,
    victims: () => victims,
    kill: () => victims.forEach((pid) => void tryKill(pid, 'SIGKILL')),
    process: running,
    readyAtMs: time,
    workerId: worker,
    directory,
    journalDirectory: join(directory, 'journal'),
  };
}

/** The child of a process that has this text among its arguments. */
function childOf(parent: number, text: string): number | undefined {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const parentPid = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      if (parentPid === parent && readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text)) return Number(name);
    } catch {
      // Gone between the look at the directory and at the process.
    }
  }
  return undefined;
}

/** One record of a journal as it stands on disk, with what it says of time. */
export interface JournalLine {
  readonly type: 'received' | 'started' | 'released' | 'output' | 'finished';
  readonly call: string;
  readonly turn: number;
  readonly attempt?: number;
  readonly at?: string;
  readonly result?: unknown;
}

/** Every execution's journal, by execution id; torn lines are left out. */
export function readJournals(directory: string): ReadonlyMap<string, readonly JournalLine[]> {
  const files = readdirSync(directory).filter((name) => name.endsWith('.jsonl'));
  return new Map(
    files.map((name) => [name.slice(0, -'.jsonl'.length), linesOf(readFileSync(join(directory, name), 'utf8'))]),
  );
}

function linesOf(text: string): JournalLine[] {
  return text.split('\n').flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line) as JournalLine];
    } catch {
      return [];
    }
  });
}
