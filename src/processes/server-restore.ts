// `kubiya server restore`: puts a backup in the place of a stopped server's data, whole or not at all.
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from '../config/config.ts';
import { errnoOf, KubiyaError, messageOf } from '../errors.ts';
import { createId } from '../lib/ids.ts';
import { ensureSecureDirectory } from '../lib/secure-directory.ts';
import { archivedNames, damaged, readArchive, type ArchivedName, type Manifest } from '../server/archive.ts';
import { migrations } from '../server/store/migrations.ts';
import { examineDatabase, forgetWorkers } from '../server/store/snapshot.ts';
import { acquireLock } from '../supervisor/lock.ts';
import { serverLockName } from './server-backup.ts';

export interface Restored {
  readonly data_directory: string;
  /** When the backup was made, and by which version. */
  readonly created_at: string;
  readonly version: string;
  /** Where the data that was there is now; null when there was none. */
  readonly kept_in: string | null;
}

/** SQLite's companions of a database, which must not meet another one. */
const companions = ['-wal', '-shm', '-journal'];

/** Throws a KubiyaError, and then everything is as it was. `isForced` takes the place of data that is there. */
export function restoreServer(config: Config, file: string, { isForced }: { readonly isForced: boolean }): Restored {
  const { dataDirectory } = config.server;
  ensureSecureDirectory(dataDirectory);
  ensureSecureDirectory(config.paths.localDirectory);
  const lock = acquireLock(join(dataDirectory, serverLockName), { instanceId: createId() });
  if (lock.kind === 'held') throw stillRunning(dataDirectory);
  const staging = join(dataDirectory, `.restore-${createId()}`);
  try {
    mkdirSync(staging, { mode: 0o700 });
    const manifest = readArchive(file, staging);
    refuseUnusable(file, manifest, staging);
    forgetWorkers(join(staging, 'control-plane.db'));
    const replaced = existingFiles(config, staging, manifest);
    if (replaced.length > 0 && !isForced) throw dataExists(dataDirectory);
    const keptIn = replaced.length === 0 ? null : join(dataDirectory, `before-restore-${stamp()}`);
    replace(config, { staging, manifest, replaced, keptIn });
    const { created_at, version } = manifest;
    return { data_directory: dataDirectory, created_at, version, kept_in: keptIn };
  } finally {
    rmSync(staging, { recursive: true, force: true });
    lock.lock.release();
  }
}

/** Keys are the machine's, whatever directory the data is in. */
function placeOf({ server, paths }: Config, name: ArchivedName): string {
  switch (name) {
    case 'signing-key':
      return paths.localSigningKeyFile;
    case 'token':
      return paths.localTokenFile;
    case 'control-plane.db':
    case 'temporal.db':
      return join(server.dataDirectory, name);
  }
}

/** What stands where the backup goes, and is not the same. */
function existingFiles(config: Config, staging: string, { files }: Manifest): readonly string[] {
  const inBackup = new Set<ArchivedName>(files.map(({ name }) => name));
  return archivedNames.flatMap((name) => {
    const place = placeOf(config, name);
    if (name.endsWith('.db'))
      return ['', ...companions].map((suffix) => place + suffix).filter((one) => existsSync(one));
    if (!inBackup.has(name) || !existsSync(place)) return [];
    return readFileSync(place).equals(readFileSync(join(staging, name))) ? [] : [place];
  });
}

interface Replacement {
  readonly staging: string;
  readonly manifest: Manifest;
  readonly replaced: readonly string[];
  readonly keptIn: string | null;
}

/** Moves only, and they are undone when one fails. */
function replace(config: Config, { staging, manifest, replaced, keptIn }: Replacement): void {
  const done: (readonly [from: string, to: string])[] = [];
  const move = (from: string, to: string): void => {
    moveFile(from, to);
    done.push([from, to]);
  };
  try {
    if (keptIn !== null) mkdirSync(keptIn, { mode: 0o700 });
    for (const path of replaced) move(path, join(keptIn ?? '', path.slice(dirname(path).length + 1)));
    for (const { name } of manifest.files) move(join(staging, name), placeOf(config, name));
  } catch (error) {
    for (const [from, to] of done.toReversed()) moveFile(to, from);
    throw new KubiyaError(`the backup could not be put in place: ${messageOf(error)}`, {
      kind: 'configuration',
      code: 'restore_failed',
      hint: 'everything is as it was; check the permissions and the space of the directory',
      cause: error,
    });
  }
}

/** The keys may be on another file system than the data. */
function moveFile(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (errnoOf(error) !== 'EXDEV') throw error;
    copyFileSync(from, to);
    rmSync(from);
  }
}

/** Digests say that the files are the archived ones; this, that a server can start with them. */
function refuseUnusable(file: string, { files, schema, version }: Manifest, staging: string): void {
  for (const { name } of files) {
    if (!name.endsWith('.db')) continue;
    const facts = examineDatabase(join(staging, name));
    if (facts.damage !== null) throw damaged(file, `${name} is damaged: ${facts.damage}`);
    if (name !== 'control-plane.db') continue;
    if (facts.schema !== schema) throw damaged(file, `${name} is of another version than its manifest says`);
    if (schema <= migrations.length) continue;
    throw new KubiyaError(`${file} was made by kubiya ${version}, whose data this version does not know`, {
      kind: 'configuration',
      code: 'backup_too_new',
      hint: 'restore it with that version or a later one',
    });
  }
}

const stamp = (): string => new Date().toISOString().replaceAll(/[-:]/g, '').replace('T', '-').slice(0, 15);

function stillRunning(directory: string): KubiyaError {
  return new KubiyaError(`a server uses ${directory}`, {
    kind: 'usage',
    code: 'server_already_running',
    hint: 'stop it with `kubiya server stop` (or the worker that runs it), or give another --data-dir',
  });
}

function dataExists(directory: string): KubiyaError {
  return new KubiyaError(`${directory} already holds the data of a server`, {
    kind: 'usage',
    code: 'server_data_exists',
    hint: 'with --force the backup takes its place and the old data is kept beside it',
  });
}
