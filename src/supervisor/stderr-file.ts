// What a worker wrote outside its log (a native crash, a panic of the runtime): a file that stays small, and its last words.
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, statSync, writeSync } from 'node:fs';

/** Enough for the dump of a crash with its threads; a loop that prints for ever must not fill the disk. */
export const stderrBytesMax = 1024 * 1024;
/** What is kept when it is cut. */
const keptBytes = 256 * 1024;
/** Of a crash: what somebody reads before they open the file. */
const tailBytesMax = 16 * 1024;
const tailLinesMax = 40;

/** Where the next worker's output will begin. */
export function stderrSize(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** Cuts the file to its end when it has grown too large. Those who append to it go on behind that. Never throws. */
export function capStderr(path: string): void {
  try {
    if (stderrSize(path) <= stderrBytesMax) return;
    const descriptor = openSync(path, 'r+');
    try {
      const { size } = fstatSync(descriptor);
      const kept = readAt(descriptor, size - keptBytes, keptBytes);
      ftruncateSync(descriptor, 0);
      writeSync(descriptor, kept, 0, kept.length, 0);
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // Gone, or a disk that takes nothing: then it does not grow either.
  }
}

/** The last lines that were written from `from` on. Never throws. */
export function stderrTail(path: string, from: number): readonly string[] {
  try {
    const descriptor = openSync(path, 'r');
    try {
      const { size } = fstatSync(descriptor);
      // Smaller than before: it was cut meanwhile, and all of it is new.
      const begin = Math.max(size < from ? 0 : from, size - tailBytesMax);
      const lines = readAt(descriptor, begin, size - begin)
        .toString('utf8')
        .split('\n');
      return lines.filter((line) => line.trim() !== '').slice(-tailLinesMax);
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // There is none.
    return [];
  }
}

function readAt(descriptor: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let read = 0;
  for (let more = -1; more !== 0 && read < length; read += more) {
    more = readSync(descriptor, bytes, read, length - read, position + read);
  }
  return bytes.subarray(0, read);
}
