// One worker per queue: a lock that the kernel releases the moment its holder dies, however it dies.
import { Database } from 'bun:sqlite';
import { chmodSync, closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import * as v from 'valibot';
import { errnoOf } from '../errors.ts';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import { isSameProcess, processStartTime } from '../lib/process-tree.ts';

const lockHolderSchema = v.object({ pid: v.number(), start_time: v.string(), instance_id: v.string() });

export interface LockHolder {
  readonly pid: number;
  readonly instanceId: string;
}

export interface Lock {
  /** May be called twice. */
  release(): void;
}

export type LockResult =
  | { readonly kind: 'acquired'; readonly lock: Lock }
  /** The holder is undefined in the moment between its taking the lock and its saying so. */
  | { readonly kind: 'held'; readonly holder: LockHolder | undefined };

/**
 * A database that nobody refers to is closed by the garbage collector, and its lock with it: a holder that never calls
 * `release` would lose the lock at some random moment. The only state of this module, and never read.
 */
const heldDatabases = new Set<Database>();

/**
 * Takes the lock at `path` (in a directory that exists; not on NFS) for the rest of this process or until `release`.
 * An open exclusive transaction is the lock. Who holds it is written beside, because a locked database cannot be read.
 * Throws when the file cannot be used at all.
 */
export function acquireLock(path: string, options: { readonly instanceId: string }): LockResult {
  const holderPath = holderPathOf(path);
  createOwnerOnly(path);
  const database = new Database(path);
  try {
    database.run('PRAGMA busy_timeout = 0');
    database.run('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (errnoOf(error)?.startsWith('SQLITE_BUSY') === true) return { kind: 'held', holder: readLockHolder(path) };
    throw error;
  }
  heldDatabases.add(database);
  let isReleased = false;
  const release = (): void => {
    // A second call must not remove the words of the next holder.
    if (isReleased) return;
    isReleased = true;
    rmSync(holderPath, { force: true });
    heldDatabases.delete(database);
    database.close();
  };
  try {
    const startTime = processStartTime(process.pid) ?? '';
    const holder = { pid: process.pid, start_time: startTime, instance_id: options.instanceId };
    writeFileAtomic(holderPath, `${JSON.stringify(holder)}\n`);
  } catch (error) {
    release();
    throw error;
  }
  return { kind: 'acquired', lock: { release } };
}

const holderPathOf = (path: string): string => `${path}.json`;

/**
 * Only a file that is new is opened by us: closing any descriptor of a file drops the locks that this process has on it
 * (POSIX record locks, https://www.sqlite.org/howtocorrupt.html §2.2).
 */
function createOwnerOnly(path: string): void {
  try {
    closeSync(openSync(path, 'ax', 0o600));
    chmodSync(path, 0o600);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
}

/** Who says that they hold the lock at `path`, without touching it; undefined when they are gone. */
export function readLockHolder(path: string): LockHolder | undefined {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(holderPathOf(path), 'utf8'));
  } catch {
    // Not written yet, or just removed.
    return undefined;
  }
  const parsed = v.safeParse(lockHolderSchema, content);
  // A holder that was killed leaves its words behind: they do not name the present one.
  if (!parsed.success || !isSameProcess(parsed.output.pid, parsed.output.start_time)) return undefined;
  return { pid: parsed.output.pid, instanceId: parsed.output.instance_id };
}
