// What of a stopped worker's directory can go, how much it is, and its removal while nobody can start a worker there.
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { KubiyaError, messageOf } from '../errors.ts';
import { createId } from '../lib/ids.ts';
import { ensureSecureDirectory } from '../lib/secure-directory.ts';
import { acquireLock, type Lock } from './lock.ts';
import { type InstancePlace, isPlaceAlive, readPlace } from './select.ts';

export type CleanablePart = 'venv' | 'logs' | 'workspaces' | 'everything';

export interface Cleanable {
  readonly part: CleanablePart;
  readonly paths: readonly string[];
  readonly bytes: number;
}

/** What there is of these parts and has not changed for `olderThanMs`; parts that have nothing are left out. */
export function findCleanable(
  { directory }: InstancePlace,
  parts: readonly CleanablePart[],
  { olderThanMs, nowMs }: { readonly olderThanMs: number; readonly nowMs: number },
): readonly Cleanable[] {
  const candidates: Readonly<Record<CleanablePart, readonly string[]>> = {
    venv: [join(directory, 'venv')],
    logs: entriesOf(join(directory, 'logs')),
    workspaces: entriesOf(join(directory, 'workspace')),
    everything: [directory],
  };
  return parts.flatMap((part) => {
    const sized = candidates[part].map((path) => ({ path, ...measure(path) }));
    const old = sized.filter(({ newestMs }) => newestMs > 0 && nowMs - newestMs >= olderThanMs);
    const bytes = old.reduce((sum, one) => sum + one.bytes, 0);
    return old.length === 0 ? [] : [{ part, paths: old.map(({ path }) => path), bytes }];
  });
}

/** Throws a KubiyaError while a worker or its supervisor runs there. */
export function refuseRunning(place: InstancePlace): void {
  if (!isPlaceAlive(place)) return;
  const { record, supervisor, queue } = place;
  throw stillRunning(queue, record?.stopped_at === null ? record.pid : supervisor?.pid);
}

/** Removes the paths while it holds the locks of the queue. Throws a KubiyaError while a worker runs, or when something stays. */
export function removeCleanable(place: InstancePlace, cleanables: readonly Cleanable[]): void {
  const locks = lockAgainstStart(place);
  try {
    refuseRunning(readPlace(place.directory) ?? place);
    for (const path of cleanables.flatMap(({ paths }) => paths)) rmSync(path, { recursive: true, force: true });
  } catch (error) {
    if (error instanceof KubiyaError) throw error;
    throw new KubiyaError(`not everything could be removed: ${messageOf(error)}`, {
      kind: 'configuration',
      code: 'clean_failed',
      hint: 'see who owns that file; the rest of it can be removed by hand',
      cause: error,
    });
  } finally {
    for (const lock of locks) lock.release();
  }
}

/** Those that a worker takes at its start: by the name that its directory has, and by its queue. */
function lockAgainstStart({ directory, queue, record, supervisor }: InstancePlace): Lock[] {
  const locksDirectory = join(dirname(dirname(directory)), 'locks');
  ensureSecureDirectory(locksDirectory);
  const queueId = record?.queue_id || supervisor?.queue_id;
  const locks: Lock[] = [];
  for (const name of [`name-${basename(directory)}`, ...(queueId ? [queueId] : [])]) {
    const result = acquireLock(join(locksDirectory, `${name}.lock`), { instanceId: `clean-${createId()}` });
    if (result.kind === 'acquired') locks.push(result.lock);
    else {
      for (const lock of locks) lock.release();
      throw stillRunning(queue, result.holder?.pid);
    }
  }
  return locks;
}

function stillRunning(queue: string, pid: number | undefined): KubiyaError {
  return new KubiyaError(`the worker of the queue ${queue} is running${pid === undefined ? '' : ` (pid ${pid})`}`, {
    kind: 'usage',
    code: 'worker_running',
    hint: `stop it first with \`kubiya worker stop --queue-id ${queue}\``,
  });
}

function entriesOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory).map((name) => join(directory, name));
  } catch {
    // Not there, or not for us: nothing of it can be cleaned.
    return [];
  }
}

/** The bytes of a file or of all below a directory, and when the last of it changed; links are not followed. 0 for what is not there. */
function measure(path: string): { readonly bytes: number; readonly newestMs: number } {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return { bytes: 0, newestMs: 0 };
  if (!stat.isDirectory()) return { bytes: stat.size, newestMs: stat.mtimeMs };
  let bytes = 0;
  let newestMs = stat.mtimeMs;
  for (const entry of entriesOf(path)) {
    const below = measure(entry);
    bytes += below.bytes;
    newestMs = Math.max(newestMs, below.newestMs);
  }
  return { bytes, newestMs };
}
