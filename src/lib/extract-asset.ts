// Puts a file that the binary carries onto the disk, where the system can load or run it, and proves that it is the right one.
import { createHash, type Hash } from 'node:crypto';
import {
  accessSync,
  type BigIntStats,
  constants,
  createReadStream,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, KubiyaError, messageOf } from '../errors.ts';
import { writeFileAtomic } from './atomic-file.ts';
import { createId } from './ids.ts';
import { DirectoryRefusedError, ensureSecureDirectory } from './secure-directory.ts';

export interface ExtractRequest {
  /** Directory of the cache; created for the owner alone. */
  readonly directory: string;
  /** File name without version, for example `temporal`; files of other versions carry it too. */
  readonly name: string;
  /** Ending that the system insists on, such as `.node` or `.exe`. */
  readonly suffix: string;
  /** SHA-256 in hex and length of the file as it is to be on the disk. */
  readonly sha256: string;
  readonly bytes: number;
  /** Opens the content; called only when the file is missing or wrong. */
  readonly open: () => Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
  /** Hash the file even if it is unchanged since it was last verified. */
  readonly mustVerify: boolean;
}

/** This version and the two before it: an older binary that still runs may want its files again. */
const versionsKeptMax = 3;
/** Longer than the slowest extraction: what is left of a temporary file after this belongs to a process that was killed. */
const abandonedAfterMs = 60 * 60_000;

/**
 * Path of the file in the cache. An unchanged file costs three system calls: a stamp beside it holds size, times and inode as
 * they were when its digest was checked. Any number of processes may do this at once. Throws `KubiyaError`.
 */
export async function extractAsset(request: ExtractRequest): Promise<string> {
  const path = join(request.directory, `${request.name}-${request.sha256.slice(0, 16)}${request.suffix}`);
  try {
    ensureSecureDirectory(request.directory);
    if (!(await isIntact(path, request))) {
      await extract(path, request);
      removeOld(request);
    }
    writeStampIfChanged(path);
  } catch (error) {
    throw unusableCache(request.directory, error);
  }
  assertRunnable(path);
  return path;
}

async function isIntact(path: string, { sha256, bytes, mustVerify }: ExtractRequest): Promise<boolean> {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (stats === undefined || stats.size !== BigInt(bytes)) return false;
  if (!mustVerify && readStamp(path) === stampOf(stats)) return true;
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest('hex') === sha256;
}

async function extract(path: string, request: ExtractRequest): Promise<void> {
  const temporary = `${path}.${createId()}.tmp`;
  try {
    const hash = createHash('sha256');
    const bytes = await writeSynced(temporary, request.open(), hash);
    const found = hash.digest('hex');
    if (found !== request.sha256 || bytes !== request.bytes) {
      throw new Error(
        `the ${request.name} inside this binary is damaged: SHA-256 ${found}, expected ${request.sha256}`,
      );
    }
    await rename(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

async function writeSynced(path: string, content: ReturnType<ExtractRequest['open']>, hash: Hash): Promise<number> {
  const file = await open(path, 'wx', 0o700);
  try {
    let bytes = 0;
    for await (const chunk of content) {
      hash.update(chunk);
      await file.writeFile(chunk);
      bytes += chunk.length;
    }
    await file.chmod(0o700);
    await file.sync();
    return bytes;
  } finally {
    await file.close();
  }
}

/** The change time cannot be set by anyone, so an overwrite that restores size and modification time is seen as well. */
function stampOf(stats: BigIntStats): string {
  return `${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}:${stats.ino}`;
}

function readStamp(path: string): string | undefined {
  try {
    return readFileSync(`${path}.ok`, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function writeStampIfChanged(path: string): void {
  const stamp = stampOf(statSync(path, { bigint: true }));
  if (readStamp(path) !== stamp) writeFileAtomic(`${path}.ok`, stamp);
}

/** Removes versions beyond the newest few and what killed processes left; a file that cannot be removed stays. */
function removeOld({ directory, name, suffix }: ExtractRequest): void {
  const files = readdirSync(directory)
    .filter((file) => file.startsWith(`${name}-`))
    .map((file) => ({
      path: join(directory, file),
      file,
      time: statSync(join(directory, file), { throwIfNoEntry: false })?.mtimeMs ?? 0,
    }));
  const abandoned = files.filter(({ file, time }) => file.endsWith('.tmp') && Date.now() - time > abandonedAfterMs);
  const outdated = files
    .filter(({ file }) => file.length === name.length + 1 + 16 + suffix.length && file.endsWith(suffix))
    .toSorted((first, second) => second.time - first.time)
    .slice(versionsKeptMax);
  for (const { path } of [...abandoned, ...outdated]) {
    try {
      rmSync(path, { force: true });
      rmSync(`${path}.ok`, { force: true });
    } catch (error) {
      // Windows keeps a file that runs; the next version tries again.
      if (errnoOf(error) !== 'EBUSY' && errnoOf(error) !== 'EPERM') throw error;
    }
  }
}

/** On a file system mounted `noexec` the system denies even root the right to execute. */
function assertRunnable(path: string): void {
  try {
    accessSync(path, constants.X_OK);
  } catch (error) {
    throw new KubiyaError(
      `Programs cannot run from the cache directory ${dirname(path)}, its file system forbids it (noexec)`,
      {
        kind: 'configuration',
        code: 'cache_not_executable',
        hint: cacheHint,
        cause: error,
      },
    );
  }
}

const cacheHint = 'set KUBIYA_HOME to a directory on a disk where you can write and run programs';

function unusableCache(directory: string, error: unknown): unknown {
  const problem = cacheProblem(error);
  if (problem === undefined) return error;
  const options = { kind: 'configuration', code: 'cache_unwritable', hint: cacheHint, cause: error } as const;
  return new KubiyaError(`The cache directory ${directory} ${problem}`, options);
}

function cacheProblem(error: unknown): string | undefined {
  if (error instanceof DirectoryRefusedError) return `cannot be used: ${messageOf(error)}`;
  switch (errnoOf(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'has no space left';
    case 'EROFS':
      return 'is on a read-only file system';
    case 'EACCES':
    case 'EPERM':
      return 'cannot be written';
    case 'ENOTDIR':
    case 'EEXIST':
      return 'cannot be created: a file is in the way';
    case 'EIO':
      return 'cannot be read or written: the disk reports an error';
    default:
      return undefined;
  }
}
