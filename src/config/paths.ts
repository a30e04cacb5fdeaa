// Where every file of ours lives below ~/.kubiya.
import { accessSync, constants, mkdirSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { KubiyaError, messageOf } from '../errors.ts';

export interface Paths {
  readonly home: string;
  readonly contextFile: string;
  readonly workersDirectory: string;
  /** The embedded control plane: its databases, token, signing key and the record of the running server. */
  readonly localDirectory: string;
  readonly localServerRecordFile: string;
  readonly localTokenFile: string;
  readonly localSigningKeyFile: string;
  readonly cacheDirectory: string;
  readonly logsDirectory: string;
  /** Plans that `exec` has made. */
  readonly plansDirectory: string;
}

/** The files of one worker, below `workers/<queue>`. */
export interface WorkerPaths {
  readonly directory: string;
  readonly logsDirectory: string;
  readonly logFile: string;
  readonly stderrLogFile: string;
  readonly infoTextFile: string;
  readonly infoJsonFile: string;
  readonly pidFile: string;
  readonly lockFile: string;
  readonly requirementsFile: string;
  readonly venvDirectory: string;
  readonly workspaceDirectory: string;
  readonly journalDirectory: string;
}

export interface PathSources {
  readonly kubiyaHome: string | undefined;
  readonly userHome: string | undefined;
  readonly contextFile: string | undefined;
  /** What relative paths are relative to. */
  readonly cwd: string;
}

/** A directory name is at most 255 bytes on every file system we know; the rest is left for suffixes that tools append. */
const queueDirectoryNameBytesMax = 200;

export function resolvePaths(sources: PathSources): Paths {
  const home = homeOf(sources);
  const local = join(home, 'local');
  return Object.freeze({
    home,
    contextFile: sources.contextFile === undefined ? join(home, 'config') : resolve(sources.cwd, sources.contextFile),
    workersDirectory: join(home, 'workers'),
    localDirectory: local,
    localServerRecordFile: join(local, 'server.json'),
    localTokenFile: join(local, 'token'),
    localSigningKeyFile: join(local, 'signing-key'),
    cacheDirectory: join(home, 'cache'),
    logsDirectory: join(home, 'logs'),
    plansDirectory: join(home, 'plans'),
  });
}

export function workerPaths(paths: Paths, queue: string): WorkerPaths {
  const directory = join(paths.workersDirectory, queueDirectoryName(queue));
  const logs = join(directory, 'logs');
  return Object.freeze({
    directory,
    logsDirectory: logs,
    logFile: join(logs, 'worker.log'),
    stderrLogFile: join(logs, 'stderr.log'),
    infoTextFile: join(directory, 'daemon_info.txt'),
    infoJsonFile: join(directory, 'daemon_info.json'),
    pidFile: join(directory, 'worker.pid'),
    lockFile: join(directory, 'worker.lock'),
    requirementsFile: join(directory, 'requirements.txt'),
    venvDirectory: join(directory, 'venv'),
    workspaceDirectory: join(directory, 'workspace'),
    journalDirectory: join(directory, 'journal'),
  });
}

/** The queue as the user typed it, with every byte outside [A-Za-z0-9._-] percent-encoded. */
export function queueDirectoryName(queue: string): string {
  if (queue === '' || queue === '.' || queue === '..') {
    throw new KubiyaError(`"${queue}" cannot be the name of a queue`, {
      kind: 'usage',
      code: 'queue_name_invalid',
      hint: 'name the queue by its id or its name, as `kubiya queue list` prints them',
    });
  }
  let name = '';
  for (const byte of new TextEncoder().encode(queue)) {
    const character = String.fromCharCode(byte);
    name += /[A-Za-z0-9._-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  if (name.length > queueDirectoryNameBytesMax) {
    throw new KubiyaError(`the queue name is too long: ${name.length} bytes of at most ${queueDirectoryNameBytesMax}`, {
      kind: 'usage',
      code: 'queue_name_invalid',
      hint: 'use the id of the queue instead; `kubiya queue list` prints it',
    });
  }
  return name;
}

/** Makes ~/.kubiya (0700) and says clearly when that cannot be; every process that writes calls it before anything else. */
export function prepareHome(paths: Paths): void {
  try {
    mkdirSync(paths.home, { recursive: true, mode: 0o700 });
    accessSync(paths.home, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new KubiyaError(`the directory ${paths.home} cannot be written: ${messageOf(error)}`, {
      kind: 'configuration',
      code: 'home_not_writable',
      hint: 'set KUBIYA_HOME to a directory that this user can write',
      cause: error,
    });
  }
}

function homeOf(sources: PathSources): string {
  if (sources.kubiyaHome !== undefined) return resolve(sources.cwd, sources.kubiyaHome);
  if (sources.userHome !== undefined && isAbsolute(sources.userHome)) return join(sources.userHome, '.kubiya');
  const seen =
    sources.userHome === undefined ? 'HOME is not set' : `HOME is not an absolute path (${sources.userHome})`;
  throw new KubiyaError(`${seen}, so there is no place for the files of kubiya`, {
    kind: 'configuration',
    code: 'home_missing',
    hint: 'set KUBIYA_HOME to a directory that this user can write',
  });
}
