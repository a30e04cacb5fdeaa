// `kubiya worker start` as a process of its own, waited for until it is ready.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BinaryOptions, type RunningBinary, startBinary } from './binary.ts';

export interface WorkerProcess {
  readonly process: RunningBinary;
  /** Epoch milliseconds in the line that says Ready. */
  readonly readyAtMs: number;
  readonly workerId: string;
  readonly journalDirectory: string;
  readonly directory: string;
}

export interface WorkerOptions extends BinaryOptions {
  readonly queue: string;
  readonly words?: readonly string[];
}

export async function startWorkerProcess(options: WorkerOptions): Promise<WorkerProcess> {
  const { home, queue } = options;
  const running = startBinary(['worker', 'start', '--queue-id', queue, ...(options.words ?? [])], {
    ...options,
    environment: { LOG_FORMAT: 'json', ...options.environment },
  });
  const [line] = await running.waitFor(/^.*"msg":"Ready".*$/m);
  const { time, worker } = JSON.parse(line) as { time: number; worker: string };
  const directory = join(home.kubiyaHome, 'workers', queue);
  return {
    process: running,
    readyAtMs: time,
    workerId: worker,
    directory,
    journalDirectory: join(directory, 'journal'),
  };
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
