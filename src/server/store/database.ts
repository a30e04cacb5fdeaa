// Opens the control plane's database: one writer, durable, migrated, and a clear sentence when it cannot be used.
import { Database, SQLiteError } from 'bun:sqlite';
import { chmodSync, closeSync, openSync, statSync } from 'node:fs';
import { errnoOf, KubiyaError, messageOf } from '../../errors.ts';
import { migrations } from './migrations.ts';

/** Marks the file as ours ("KBYA"), so that another program's database is refused instead of migrated. */
const applicationId = 0x4b_42_59_41;
/** Checking every page reads the whole file: half a second at this size, and a start must not take longer. */
const checkedBytesMax = 256 * 1024 * 1024;

/**
 * FULL and WAL: what was answered survives a power cut. The exclusive lock makes a second server on the same file an error
 * at start and needs no shared-memory file. Throws a KubiyaError.
 */
export function openDatabase(path: string): Database {
  const isInMemory = path === ':memory:';
  let database: Database | undefined;
  try {
    if (!isInMemory) createOwnerOnly(path);
    database = new Database(path, { create: true, readwrite: true, strict: true });
    database.run('PRAGMA busy_timeout = 1000');
    database.run('PRAGMA locking_mode = EXCLUSIVE');
    database.run('PRAGMA journal_mode = WAL');
    database.run('PRAGMA synchronous = FULL');
    if (!isInMemory) check(database, path);
    migrate(database, path);
    return database;
  } catch (error) {
    database?.close();
    throw error instanceof KubiyaError ? error : openFailure(error, path);
  }
}

/** What a failure while the database is being set up means for the user. */
export function setupFailure(error: unknown, path: string): unknown {
  return isStorageFailure(error) ? openFailure(error, path) : error;
}

/** SQLite codes of a disk that takes no more: nothing was stored, and the same request may succeed later. */
export function isStorageFailure(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'SQLITE_FULL' || code.startsWith('SQLITE_IOERR') || code === 'SQLITE_READONLY';
}

export function isUniqueViolation(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'SQLITE_CONSTRAINT_UNIQUE' || code === 'SQLITE_CONSTRAINT_PRIMARYKEY';
}

function codeOf(error: unknown): string {
  return error instanceof SQLiteError ? (error.code ?? '') : '';
}

function createOwnerOnly(path: string): void {
  closeSync(openSync(path, 'a', 0o600));
  // The log beside it gets the file's permissions.
  chmodSync(path, 0o600);
}

function check(database: Database, path: string): void {
  if (statSync(path).size > checkedBytesMax) return;
  const row = database.query<{ quick_check: string }, []>('PRAGMA quick_check(1)').get();
  if (row?.quick_check !== 'ok') throw corrupt(path, row?.quick_check ?? 'no answer');
}

function migrate(database: Database, path: string): void {
  const version = database.query<{ user_version: number }, []>('PRAGMA user_version').get()?.user_version ?? 0;
  const owner = database.query<{ application_id: number }, []>('PRAGMA application_id').get()?.application_id ?? 0;
  const tables = database.query<{ count: number }, []>('SELECT count(*) AS count FROM sqlite_schema').get()?.count ?? 0;
  if (owner !== applicationId && tables > 0) {
    throw new KubiyaError(`${path} is the database of another program`, {
      kind: 'configuration',
      code: 'database_foreign',
      hint: 'choose another directory with --data-dir',
    });
  }
  if (version > migrations.length) {
    throw new KubiyaError(
      `${path} was written by a newer kubiya (schema ${version}, this one knows ${migrations.length})`,
      {
        kind: 'configuration',
        code: 'database_too_new',
        hint: 'use that version, or choose another directory with --data-dir',
      },
    );
  }
  for (const [index, statements] of migrations.entries()) {
    if (index < version) continue;
    database.transaction(() => {
      database.run(statements);
      database.run(`PRAGMA user_version = ${index + 1}`);
      database.run(`PRAGMA application_id = ${applicationId}`);
    })();
  }
}

function openFailure(error: unknown, path: string): KubiyaError {
  const code = error instanceof SQLiteError ? codeOf(error) : (errnoOf(error) ?? '');
  if (code === 'SQLITE_NOTADB' || code.startsWith('SQLITE_CORRUPT')) return corrupt(path, messageOf(error), error);
  if (code === 'SQLITE_BUSY' || code === 'SQLITE_LOCKED') {
    return new KubiyaError(`${path} is in use by another server`, {
      kind: 'configuration',
      code: 'database_in_use',
      hint: '`kubiya server status` shows which one',
      cause: error,
    });
  }
  if (isStorageFailure(error) || code === 'ENOSPC') {
    return new KubiyaError(`The disk of ${path} is full`, {
      kind: 'configuration',
      code: 'disk_full',
      hint: 'free some space, or choose another directory with --data-dir',
      cause: error,
    });
  }
  return new KubiyaError(`${path} cannot be opened: ${messageOf(error)}`, {
    kind: 'configuration',
    code: 'database_unusable',
    hint: 'check the permissions of the directory, or choose another with --data-dir',
    cause: error,
  });
}

function corrupt(path: string, reason: string, cause?: unknown): KubiyaError {
  return new KubiyaError(`${path} is damaged: ${reason}`, {
    kind: 'configuration',
    code: 'database_damaged',
    hint: `move it away (mv ${path} ${path}.damaged) and start again with an empty one`,
    cause,
  });
}
