// A lock between calls and between processes: a directory, because making one is atomic on every file system.
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { errnoOf } from '../errors.ts';
import { sleep } from '../lib/backoff.ts';
import { createId } from '../lib/ids.ts';
import { isSameProcess, processStartTime } from '../lib/process-tree.ts';

/** Creating a virtual environment takes seconds, so a waiter loses nothing by looking rarely. */
const pollMs = 100;
/** A holder writes who it is right after it made the directory; one that did not within this time died in between. */
const anonymousMs = 10_000;

const holderSchema = v.object({ pid: v.number(), startTime: v.string(), token: v.string() });
type Holder = v.InferOutput<typeof holderSchema>;

/** Runs `work` alone; undefined when the signal ended the wait. A lock whose holder is gone is taken over. */
export async function withDirectoryLock<TValue>(
  path: string,
  signal: AbortSignal,
  work: () => Promise<TValue>,
): Promise<TValue | undefined> {
  const token = createId();
  while (!take(path, token)) {
    if (signal.aborted) return undefined;
    removeIfAbandoned(path);
    await sleep(pollMs);
  }
  try {
    return signal.aborted ? undefined : await work();
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

function take(path: string, token: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
  const holder: Holder = { pid: process.pid, startTime: processStartTime(process.pid) ?? '', token };
  writeFileSync(join(path, 'holder.json'), JSON.stringify(holder));
  return true;
}

function removeIfAbandoned(path: string): void {
  const holder = readHolder(path);
  if (holder === undefined ? !isOlderThan(path, anonymousMs) : isSameProcess(holder.pid, holder.startTime)) return;
  const aside = `${path}.${createId()}`;
  try {
    renameSync(path, aside);
    // Between the look and the rename another waiter may have taken over: give it back.
    if (readHolder(aside)?.token !== holder?.token) renameSync(aside, path);
    else rmSync(aside, { recursive: true, force: true });
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

function readHolder(path: string): Holder | undefined {
  try {
    const parsed = v.safeParse(holderSchema, JSON.parse(readFileSync(join(path, 'holder.json'), 'utf8')));
    return parsed.success ? parsed.output : undefined;
  } catch {
    // Not written yet, half written, or gone with its lock: nobody to ask.
    return undefined;
  }
}

function isOlderThan(path: string, ageMs: number): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats !== undefined && Date.now() - stats.mtimeMs > ageMs;
}
