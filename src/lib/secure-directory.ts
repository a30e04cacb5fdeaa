// Directories that only their owner can look into, whatever the umask and whoever was here first.
import { chmodSync, lstatSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

const ownerOnlyMode = 0o700;

export type DirectoryRefusal = 'symbolic_link' | 'not_a_directory' | 'other_owner';

/** What is at the path must not be used; an expected failure that the caller turns into words. */
export class DirectoryRefusedError extends Error {
  override readonly name = 'DirectoryRefusedError';
  readonly reason: DirectoryRefusal;
  readonly path: string;

  constructor(reason: DirectoryRefusal, path: string) {
    super(`${path} is refused: ${refusalWords[reason]}`);
    this.reason = reason;
    this.path = path;
  }
}

const refusalWords: Readonly<Record<DirectoryRefusal, string>> = {
  symbolic_link: 'it is a symbolic link',
  not_a_directory: 'it is not a directory',
  other_owner: 'it belongs to another user',
};

/**
 * Creates `path` (and parents that are missing) with mode 0700; narrows an existing directory of ours to it. Throws
 * `DirectoryRefusedError`, or the system's error (`ENOSPC`, `EACCES`, `EROFS`).
 */
export function ensureSecureDirectory(path: string): void {
  const isNew = createIfMissing(path);
  const found = lstatSync(path);
  if (found.isSymbolicLink()) throw new DirectoryRefusedError('symbolic_link', path);
  if (!found.isDirectory()) throw new DirectoryRefusedError('not_a_directory', path);
  const ownUserId = process.getuid?.();
  if (ownUserId !== undefined && found.uid !== ownUserId) throw new DirectoryRefusedError('other_owner', path);
  if (!isNew && (found.mode & 0o777) !== ownerOnlyMode) chmodSync(path, ownerOnlyMode);
}

/** True when this call created it. Parents first, each made usable before its child, because the umask may forbid even us. */
function createIfMissing(path: string): boolean {
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) return false;
  const parent = dirname(path);
  if (parent !== path) createIfMissing(parent);
  try {
    mkdirSync(path, ownerOnlyMode);
  } catch (error) {
    // Another process of ours was faster: what it made is checked by the caller.
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
  chmodSync(path, ownerOnlyMode);
  return true;
}
