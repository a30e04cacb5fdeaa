// Writes a file so that a reader, a crash or a full disk never meets half of it.
import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { createId } from './ids.ts';

export interface AtomicWriteOptions {
  /** Permission bits of the new file, whatever the umask; default 0600. */
  readonly mode?: number;
}

/** Of the target's name, to tell whose it was; with four bytes a character it stays below the 255 bytes of a name. */
const temporaryNameMax = 50;

/**
 * Writes beside the target, syncs, renames. A symbolic link at `path` is replaced, not followed. Throws the system's error
 * (`ENOSPC`, `EACCES`); then the old file is as it was and nothing is left beside it.
 */
export function writeFileAtomic(path: string, data: string | Uint8Array, options: AtomicWriteOptions = {}): void {
  const directory = dirname(path);
  // The longest name a file system takes is the target's, not that with an id behind it.
  const temporary = join(directory, `.${basename(path).slice(0, temporaryNameMax)}.${createId()}.tmp`);
  try {
    const descriptor = openSync(temporary, 'wx', 0o600);
    try {
      writeFileSync(descriptor, data);
      fchmodSync(descriptor, options.mode ?? 0o600);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncDirectory(directory);
}

/** Makes the rename itself durable; Windows cannot open a directory and does not need it. */
function syncDirectory(path: string): void {
  if (process.platform === 'win32') return;
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
