// Walks and removes directory trees that somebody hostile may have filled: follows no link, never goes deep, stops in time.
import { chmodSync, lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, type Stats, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from './clock.ts';
import { createId } from './ids.ts';

/** Shared by all walks of one round: how many entries may still be looked at. */
export interface WorkBudget {
  /** False when the round is over. Rests now and then, so that the process has time for its own work. */
  take(): Promise<boolean>;
}

/** A few milliseconds of system calls between two rests. */
const entriesBetweenRests = 200;

export function createWorkBudget(options: {
  readonly entriesMax: number;
  readonly restMs: number;
  readonly clock: Pick<Clock, 'sleep'>;
  readonly signal: AbortSignal;
}): WorkBudget {
  let taken = 0;
  return {
    take: async () => {
      if (options.signal.aborted || taken >= options.entriesMax) return false;
      taken += 1;
      if (taken % entriesBetweenRests === 0)
        await options.clock.sleep(options.restMs, options.signal).catch(() => undefined);
      return !options.signal.aborted;
    },
  };
}

export interface TreeSize {
  /** On the disk; at least so many when the budget ended first. */
  readonly bytes: number;
  /** When something in it last changed, by the kernel's own time, which no `touch` can set. */
  readonly changedAtMs: number;
}

/** A name need not be text: paths below the root are bytes. */
type Path = Buffer;

/** Entries that cannot be read count as nothing. */
export async function measureTree(root: string, budget: WorkBudget): Promise<TreeSize> {
  let bytes = 0;
  let changedAtMs = 0;
  const open: Path[] = [Buffer.from(root)];
  for (let path = open.pop(); path !== undefined && (await budget.take()); path = open.pop()) {
    const stats = statOf(path);
    if (stats === undefined) continue;
    changedAtMs = Math.max(changedAtMs, stats.ctimeMs);
    if (stats.nlink <= 1 || stats.isDirectory()) bytes += stats.blocks * 512;
    if (stats.isDirectory()) for (const name of namesIn(path)) open.push(below(path, name));
  }
  return { bytes, changedAtMs };
}

/** Takes a thing away from where others see it, in one step. False when it could not be moved. */
export function moveToTrash(path: string, trash: string): boolean {
  try {
    mkdirSync(trash, { recursive: true, mode: 0o700 });
    if (!isOwnDirectory(trash)) return false;
    makeWritable(Buffer.from(path));
    renameSync(path, join(trash, createId()));
    return true;
  } catch {
    // Another file system, or another owner: it stays, and the caller has nothing freed.
    return false;
  }
}

/** Removes what is in the trash until the budget ends; the next round goes on. Returns the bytes it freed. */
export async function emptyTrash(trash: string, budget: WorkBudget): Promise<number> {
  if (!isOwnDirectory(trash)) return 0;
  let freed = 0;
  let hasProgress = true;
  /** What fails here belongs to somebody else, or has just been written: it is passed over. */
  const attempt = (step: () => void, bytes: number): void => {
    try {
      step();
      hasProgress = true;
      freed += bytes;
    } catch {
      // The next round looks again.
    }
  };
  /** A directory's own directories are moved up into the trash: no path ever becomes too long for the system. */
  const remove = async (path: Path, isTop: boolean): Promise<void> => {
    const stats = statOf(path);
    if (stats === undefined || !(await budget.take())) return;
    const bytes = stats.nlink <= 1 || stats.isDirectory() ? stats.blocks * 512 : 0;
    if (!stats.isDirectory()) return attempt(() => unlinkSync(path), bytes);
    makeWritable(path);
    if (!isTop) return attempt(() => renameSync(path, join(trash, createId())), 0);
    for (const name of namesIn(path)) await remove(below(path, name), false);
    attempt(() => rmdirSync(path), bytes);
  };
  while (hasProgress && (await budget.take())) {
    hasProgress = false;
    const root = Buffer.from(trash);
    for (const name of namesIn(root)) await remove(below(root, name), true);
  }
  return freed;
}

/** A tool could have put a link to somebody's files in its place. */
function isOwnDirectory(path: string): boolean {
  return statOf(Buffer.from(path))?.isDirectory() === true;
}

/** A directory of mode 0000 can neither be listed nor moved by anyone but root. */
function makeWritable(path: Path): void {
  const stats = statOf(path);
  if (stats?.isDirectory() !== true || (stats.mode & 0o700) === 0o700) return;
  try {
    chmodSync(path, 0o700);
  } catch {
    // Not ours: what follows fails and is passed over.
  }
}

function statOf(path: Path): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    // Gone, or in a directory that cannot be entered.
    return undefined;
  }
}

function namesIn(path: Path): readonly Buffer[] {
  try {
    return readdirSync(path, { encoding: 'buffer' });
  } catch {
    // Gone, or not readable.
    return [];
  }
}

function below(path: Path, name: Buffer): Path {
  return Buffer.concat([path, Buffer.from('/'), name]);
}
