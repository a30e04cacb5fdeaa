// Reads a small text file that a person named, whatever it turns out to be: a directory, a pipe, a disk image.
import { closeSync, openSync, readSync, statSync } from 'node:fs';

/** A key or a certificate bundle; the bundle of a distribution has 220 kB, one with every intermediate 2 MB. */
export const smallFileBytesMax = 4 * 1024 * 1024;

/** What is wrong with the file, to be said after its name: "is a directory". The system's own errors pass unchanged. */
export class UnusableFileError extends Error {
  override readonly name = 'UnusableFileError';
}

/** The text without a byte order mark. Throws `UnusableFileError` or the system's error. */
export function readTextFile(path: string, bytesMax = smallFileBytesMax): string {
  const stats = statSync(path);
  if (stats.isDirectory()) throw new UnusableFileError('is a directory');
  // A pipe without a writer would hang; /dev/null is how people say "none".
  if (!stats.isFile() && path !== '/dev/null') throw new UnusableFileError('is not a regular file');
  const bytes = readBytes(path, bytesMax);
  if (bytes.length > bytesMax) throw new UnusableFileError(`is larger than ${Math.floor(bytesMax / 1024)} KiB`);
  if (bytes.includes(0)) throw new UnusableFileError('is not text');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UnusableFileError('is not UTF-8 text');
  }
}

/** At most one byte more than allowed, because the size that a file system reports may be anything. */
function readBytes(path: string, bytesMax: number): Buffer {
  const descriptor = openSync(path, 'r');
  try {
    const chunks: Buffer[] = [];
    for (let total = 0; total <= bytesMax;) {
      const chunk = Buffer.allocUnsafe(Math.min(64 * 1024, bytesMax + 1 - total));
      const length = readSync(descriptor, chunk);
      if (length === 0) break;
      chunks.push(chunk.subarray(0, length));
      total += length;
    }
    return Buffer.concat(chunks);
  } finally {
    closeSync(descriptor);
  }
}
