// Copies of SQLite databases that are being written to, the check of a copy, and the return of the room that deleted rows leave.
import { Database, SQLiteError } from 'bun:sqlite';
import { chmodSync, closeSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { createId } from '../../lib/ids.ts';

export interface Snapshot {
  readonly path: string;
  /** May be called again. */
  remove(): void;
}

const snapshotMark = '.snapshot-';
/** A writer of the other process holds the database for milliseconds. */
const busyTimeoutMs = 10_000;
/** Compacting writes the file anew: below this there is nothing to gain, above it a start would take too long (5 s per GB). */
const compactedBytesMin = 64 * 1024 * 1024;
const compactedBytesMax = 2 * 1024 * 1024 * 1024;
/** Half a file of free pages is what a month of deleted histories leaves; less is used again soon. */
const freeShareMin = 0.5;

/** Beside the database, owner-only. `VACUUM INTO` reads in one transaction, so writers meanwhile change nothing in it. */
export function snapshotOf(database: Database, path: string): Snapshot {
  removeStale(path);
  const target = `${path}${snapshotMark}${createId()}`;
  const remove = (): void => rmSync(target, { force: true });
  try {
    copyInto(database, target);
  } catch (error) {
    remove();
    throw error;
  }
  return { path: target, remove };
}

/**
 * Copies a database that another process may have open, to a path where nothing is. Throws SQLite's error. Opened for
 * writing, because the log that a killed process left must be folded in first.
 */
export function copyDatabase(path: string, target: string): void {
  const database = new Database(path, { readwrite: true, create: false });
  try {
    database.run(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
    copyInto(database, target);
  } finally {
    database.close();
  }
}

function copyInto(database: Database, target: string): void {
  // An empty file is taken as it is, with its permissions.
  closeSync(openSync(target, 'wx', 0o600));
  chmodSync(target, 0o600);
  database.query('VACUUM INTO ?').run(target);
}

export interface DatabaseFacts {
  /** `PRAGMA user_version`: of ours, the number of migrations that it has. */
  readonly schema: number;
  /** What is wrong with its pages; null when nothing is. */
  readonly damage: string | null;
}

/** Reads every page. */
export function examineDatabase(path: string): DatabaseFacts {
  const database = new Database(path, { readonly: true });
  try {
    const check =
      database.query<{ quick_check: string }, []>('PRAGMA quick_check(1)').get()?.quick_check ?? 'no answer';
    const schema = database.query<{ user_version: number }, []>('PRAGMA user_version').get()?.user_version ?? 0;
    return { schema, damage: check === 'ok' ? null : check };
  } catch (error) {
    if (error instanceof SQLiteError) return { schema: 0, damage: error.message };
    throw error;
  } finally {
    database.close();
  }
}

/**
 * Of a copy of ours that goes somewhere else: its workers are not there, and who waited for one of them need not wait until it
 * is overdue. One that is there after all is told so by its next heartbeat, and registers again.
 */
export function forgetWorkers(path: string): void {
  const database = new Database(path, { readwrite: true, create: false });
  try {
    database.run('UPDATE workers SET is_disconnected = 1, live_until_ms = 0');
  } finally {
    database.close();
  }
}

/**
 * Gives the room of deleted rows back to the disk, of a database that nobody has open. Returns the bytes it freed: none from
 * one that cannot be opened, of which whoever opens it next has more to say.
 */
export function compactIfSparse(path: string): number {
  const before = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (before < compactedBytesMin || before > compactedBytesMax) return 0;
  try {
    compact(path);
  } catch (error) {
    if (!(error instanceof SQLiteError)) throw error;
  }
  return Math.max(0, before - statSync(path).size);
}

function compact(path: string): void {
  const database = new Database(path, { readwrite: true });
  try {
    const pages = database.query<{ page_count: number }, []>('PRAGMA page_count').get()?.page_count ?? 0;
    const free = database.query<{ freelist_count: number }, []>('PRAGMA freelist_count').get()?.freelist_count ?? 0;
    if (pages === 0 || free / pages < freeShareMin) return;
    database.run('VACUUM');
    database.run('PRAGMA wal_checkpoint(TRUNCATE)');
  } finally {
    database.close();
  }
}

/** Of a process that was killed while it copied. */
function removeStale(path: string): void {
  const directory = dirname(path);
  for (const name of readdirSync(directory)) {
    if (name.startsWith(`${basename(path)}${snapshotMark}`)) rmSync(join(directory, name), { force: true });
  }
}
