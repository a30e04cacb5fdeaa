// `kubiya server backup`: a consistent archive of the embedded control plane, taken while it runs or while it is stopped.
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as NodeReadableStream } from 'node:stream/web';
import type { Config } from '../config/config.ts';
import { createControlPlaneClient, type ControlPlaneClient } from '../controlplane/client.ts';
import { findLocalServer } from '../controlplane/local-server.ts';
import { errnoOf, KubiyaError, messageOf } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import { createId } from '../lib/ids.ts';
import { archivedNames, readArchive, writeArchive, type ArchivedName, type Manifest } from '../server/archive.ts';
import { isStorageFailure } from '../server/store/database.ts';
import { copyDatabase, examineDatabase } from '../server/store/snapshot.ts';
import { acquireLock } from '../supervisor/lock.ts';
import { version } from '../version.ts';
import { installSignals } from './signals.ts';

export interface Backup {
  readonly file: string;
  readonly bytes: number;
  readonly created_at: string;
  /** How the server was while it was copied. */
  readonly server: 'running' | 'stopped';
  readonly files: Manifest['files'];
}

export const serverLockName = 'server.lock';

/** `target` is a new file, or a directory that gets one. Throws a KubiyaError, and then leaves nothing. */
export async function backUpServer(config: Config, target: string): Promise<Backup> {
  const { dataDirectory } = config.server;
  if (!existsSync(join(dataDirectory, 'control-plane.db'))) throw nothingThere(dataDirectory);
  const file = freeTarget(target);
  const staging = join(dirname(file), `${stagingPrefix(file)}${createId()}`);
  const signals = installSignals();
  const interrupted = new AbortController();
  const end = Promise.withResolvers<never>();
  end.promise.catch(() => undefined);
  signals.onSignal(() => {
    interrupted.abort();
    end.reject(backupInterrupted());
  });
  try {
    removeAbandoned(file);
    mkdirSync(staging, { mode: 0o700 });
    const server = await Promise.race([copyParts(config, staging, interrupted.signal), end.promise]);
    // A signal that came while a database was copied is told to us now.
    await Promise.race([systemClock.sleep(0), end.promise]);
    const schema = examineCopies(staging);
    const created = new Date().toISOString();
    const names = archivedNames.filter((name) => existsSync(join(staging, name)));
    const archive = join(staging, 'archive.tar');
    writeArchive(archive, staging, names, { version, created_at: created, schema });
    const { files } = readArchive(archive);
    renameSync(archive, file);
    return { file, bytes: statSync(file).size, created_at: created, server, files };
  } catch (error) {
    if (interrupted.signal.aborted) throw backupInterrupted();
    throw error instanceof KubiyaError ? error : backupFailure(error, file);
  } finally {
    rmSync(staging, { recursive: true, force: true });
    signals.dispose();
  }
}

const stagingPrefix = (file: string): string => `.${basename(file)}.backup-`;
/** No backup takes so long. */
const abandonedMs = 86_400_000;

/** What a backup that was killed has left beside this file or, where each file has the time in its name, beside any. */
function removeAbandoned(file: string): void {
  const directory = dirname(file);
  for (const name of readdirSync(directory)) {
    if (!/^\..+\.backup-[0-9a-f-]{36}$/.test(name)) continue;
    const path = join(directory, name);
    const isOurs = name.startsWith(stagingPrefix(file));
    if (isOurs || Date.now() - statSync(path).mtimeMs > abandonedMs) rmSync(path, { recursive: true, force: true });
  }
}

function backupInterrupted(): KubiyaError {
  return new KubiyaError('the backup was interrupted and nothing of it is left', {
    kind: 'interrupted',
    code: 'interrupted',
  });
}

/** Temporal's before ours: an execution that Temporal does not have yet is ended by the reconciler, the reverse would be lost. */
async function copyParts(config: Config, staging: string, signal: AbortSignal): Promise<Backup['server']> {
  const { server, paths } = config;
  const lock = acquireLock(join(server.dataDirectory, serverLockName), { instanceId: createId() });
  const source = (name: ArchivedName): string => join(server.dataDirectory, name);
  const target = (name: ArchivedName): string => join(staging, name);
  if (lock.kind === 'acquired') {
    try {
      if (existsSync(source('temporal.db'))) copyDatabase(source('temporal.db'), target('temporal.db'));
      copyDatabase(source('control-plane.db'), target('control-plane.db'));
    } finally {
      lock.lock.release();
    }
  } else {
    const client = await clientOf(config, lock.holder?.pid);
    const { databases } = await client.getServerStatus();
    if (databases.some(({ name }) => name === 'temporal')) copyDatabase(source('temporal.db'), target('temporal.db'));
    await download(client, target('control-plane.db'), signal);
  }
  const keys = [
    ['signing-key', paths.localSigningKeyFile],
    ['token', paths.localTokenFile],
  ] as const;
  for (const [name, path] of keys)
    if (existsSync(path)) writeFileSync(target(name), readFileSync(path), { mode: 0o600 });
  return lock.kind === 'acquired' ? 'stopped' : 'running';
}

/** The server that holds the lock has its database to itself, so it makes the copy. */
async function clientOf({ server, paths }: Config, holderPid: number | undefined): Promise<ControlPlaneClient> {
  const found = await findLocalServer(paths);
  if (found !== undefined && found.record.pid === holderPid)
    return createControlPlaneClient({ url: found.url, token: found.token });
  throw new KubiyaError(`a server uses ${server.dataDirectory}, but it is not the one that commands find`, {
    kind: 'network',
    code: 'server_not_found',
    hint: 'see `kubiya server status`; stop that server, or wait until it has started',
  });
}

async function download(client: ControlPlaneClient, path: string, signal: AbortSignal): Promise<void> {
  const response = await client.openSnapshot();
  if (response.body === null) throw new Error('the server sent no copy of its database');
  const body = Readable.fromWeb(response.body as NodeReadableStream<Uint8Array>);
  await pipeline(body, createWriteStream(path, { flags: 'wx', mode: 0o600 }), { signal });
  const expected = Number(response.headers.get('content-length') ?? Number.NaN);
  if (Number.isFinite(expected) && statSync(path).size !== expected) throw new Error('the copy was cut off');
}

/** Returns the schema of the control plane's. */
function examineCopies(staging: string): number {
  let schema = 0;
  for (const name of ['temporal.db', 'control-plane.db'] as const) {
    if (!existsSync(join(staging, name))) continue;
    const facts = examineDatabase(join(staging, name));
    if (facts.damage !== null) throw new Error(`the copy of ${name} is damaged: ${facts.damage}`);
    if (name === 'control-plane.db') schema = facts.schema;
  }
  return schema;
}

function freeTarget(target: string): string {
  const isDirectory = statSync(target, { throwIfNoEntry: false })?.isDirectory() === true;
  const stamp = new Date().toISOString().replaceAll(/[-:]/g, '').replace('T', '-').slice(0, 15);
  const file = resolve(isDirectory ? join(target, `kubiya-server-${stamp}.tar`) : target);
  if (!existsSync(file)) return file;
  throw new KubiyaError(`${file} exists already`, {
    kind: 'usage',
    code: 'file_exists',
    hint: 'give another name, or a directory, which gets a file with the time in its name',
  });
}

function nothingThere(directory: string): KubiyaError {
  return new KubiyaError(`${directory} holds no data of a server`, {
    kind: 'configuration',
    code: 'server_data_missing',
    hint: 'name the directory with --data-dir, as `kubiya server start` got it',
  });
}

function backupFailure(error: unknown, file: string): KubiyaError {
  const isFull = errnoOf(error) === 'ENOSPC' || isStorageFailure(error);
  return new KubiyaError(`the backup ${file} could not be written: ${isFull ? 'the disk is full' : messageOf(error)}`, {
    kind: 'configuration',
    code: isFull ? 'disk_full' : 'backup_failed',
    hint: 'nothing was left behind; it needs twice the size of the databases beside the file',
    cause: error,
  });
}
