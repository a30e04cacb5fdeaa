// Where file tools may go: names resolved with every symbolic link and `..` followed, then held against base directories.
import { type Stats, lstatSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { errnoOf } from '../errors.ts';

export interface PathPolicy {
  /** Absolute or relative to the workspace; the first one is where relative names start when it is inside no workspace. */
  readonly baseDirectories: readonly string[];
}

export type ResolvedPath =
  | {
      readonly ok: true;
      /** Absolute, without links; below its deepest existing ancestor it does not exist yet. */
      readonly path: string;
      /** What is there now; undefined when nothing is. */
      readonly stats: Stats | undefined;
    }
  | { readonly ok: false; readonly problem: string };

/** The kernel's limit for a path. */
const pathBytesMax = 4_096;

/** The environments and the memory of processes, our own first of all: they hold keys. */
const processFile = /^\/proc\/\d+(\/|$)/;

export function resolvePath(name: string, workspace: string, policy: PathPolicy): ResolvedPath {
  if (name === '' || name.includes('\0'))
    return { ok: false, problem: 'The file name is empty or contains a NUL byte' };
  if (Buffer.byteLength(name) > pathBytesMax) return { ok: false, problem: 'The file name is too long' };
  const bases = policy.baseDirectories.map((base) => resolve(workspace, base));
  const start = bases.some((base) => isInside(workspace, base)) ? workspace : (bases[0] ?? workspace);
  try {
    const path = realPathOf(resolve(start, name));
    if (path === null) return { ok: false, problem: `${name} goes through a symbolic link that leads nowhere` };
    if (processFile.test(path)) return { ok: false, problem: `${name} belongs to a running process` };
    const realBases = bases.map((base) => realPathOf(base) ?? base);
    if (!realBases.some((base) => isInside(path, base))) {
      return { ok: false, problem: `${name} is outside the allowed directories (${realBases.join(', ')})` };
    }
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats !== undefined && !stats.isFile() && !stats.isDirectory()) {
      return { ok: false, problem: `${name} is a device, pipe or socket, and only files and directories are allowed` };
    }
    return { ok: true, path, stats };
  } catch (error) {
    return { ok: false, problem: fileProblem(error, name) };
  }
}

function isInside(path: string, base: string): boolean {
  const way = relative(base, path);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}

/** `realpath` of the deepest ancestor that exists, with the rest behind it; null for a link that leads nowhere. */
function realPathOf(path: string): string | null {
  try {
    return realpathSync.native(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true) return null;
  const parent = dirname(path);
  const realParent = parent === path ? path : realPathOf(parent);
  return realParent === null ? null : join(realParent, path.slice(parent.length).replace(/^[/\\]+/, ''));
}

/** A file system's error as a sentence that a model can act on; what is not a system error is rethrown. */
export function fileProblem(error: unknown, name: string): string {
  const code = errnoOf(error);
  switch (code) {
    case undefined:
      throw error;
    case 'ENOENT':
      return `${name} does not exist`;
    case 'EACCES':
    case 'EPERM':
      return `No permission for ${name}`;
    case 'EROFS':
      return `${name} is on a read-only file system; write somewhere else`;
    case 'ENOSPC':
    case 'EDQUOT':
      return `The disk is full, so ${name} was not written; free space or write somewhere else`;
    case 'EISDIR':
      return `${name} is a directory`;
    case 'ENOTDIR':
      return `A part of ${name} is a file, not a directory`;
    case 'EEXIST':
      return `${name} exists already`;
    case 'ELOOP':
      return `${name} goes through symbolic links without end`;
    case 'ENAMETOOLONG':
      return `The name ${name.slice(0, 80)}… is too long`;
    default:
      return `${name}: the system answered ${code}`;
  }
}
