// A log file of exact size that rotates itself, synchronously, so that kill -9 loses no acknowledged line.
import {
  closeSync,
  existsSync,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';

export interface RotatingFile {
  readonly path: string;
  /** Lines that could not be written. */
  readonly linesLost: number;
  /** Why the last one could not (`ENOSPC`); undefined as long as all went well. */
  readonly lastError: unknown;
  /** One complete line with its newline; false when it could not be written. Never throws. */
  write(line: string): boolean;
  close(): void;
}

export interface RotatingFileOptions {
  readonly path: string;
  /** No file grows beyond, except one that holds a single line longer than this. */
  readonly bytesMax: number;
  /** Old files kept as `.1` (newest) to `.N`; with 0 the file still starts anew. */
  readonly backups: number;
  /** First line of every new file, with its newline. */
  readonly header?: (() => string) | undefined;
  /** Last line of a file that is rotated away: says where the log goes on, for those who follow the old file. */
  readonly trailer?: (() => string) | undefined;
}

/** Opening waits for the first line: a directory that is not there yet, or a full disk, costs lines, not the process. */
export function createRotatingFile(options: RotatingFileOptions): RotatingFile {
  let descriptor: number | undefined;
  let size = 0;
  let emptySize = 0; // of a file with nothing but its header
  let linesLost = 0;
  let lastError: unknown;

  const append = (file: number, text: string): void => {
    const bytes = Buffer.from(text);
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(file, bytes, written);
    } catch (error) {
      // A full disk takes the first half of a line; the second half must not end up behind another line.
      if (written > 0) ftruncateSync(file, size);
      throw error;
    }
    size += bytes.length;
  };
  const open = (): number => {
    const file = openSync(options.path, 'a+', 0o600);
    descriptor = file;
    fchmodSync(file, 0o600);
    ({ size } = fstatSync(file));
    if (size > 0 && !endsWithNewline(file, size)) append(file, '\n');
    if (size === 0 && options.header !== undefined) append(file, options.header());
    emptySize = size;
    return file;
  };
  const close = (): void => {
    if (descriptor === undefined) return;
    closeSync(descriptor);
    descriptor = undefined;
  };
  const rotate = (file: number, trailer: string): number => {
    append(file, trailer);
    close();
    shiftBackups(options.path, options.backups);
    return open();
  };
  return {
    path: options.path,
    get linesLost() {
      return linesLost;
    },
    get lastError() {
      return lastError;
    },
    write: (line) => {
      try {
        const isFirst = descriptor === undefined;
        let file = descriptor ?? open();
        const trailer = options.trailer?.() ?? '';
        const sizeAfter = size + Buffer.byteLength(line) + Buffer.byteLength(trailer);
        const hasLines = isFirst ? size > 0 : size > emptySize;
        if (hasLines && sizeAfter > options.bytesMax) file = rotate(file, trailer);
        append(file, line);
        return true;
      } catch (error) {
        linesLost += 1;
        lastError = error;
        return false;
      }
    },
    close,
  };
}

/** `.1` becomes `.2` and so on up to the first number that is missing, then the file becomes `.1`. */
function shiftBackups(path: string, backups: number): void {
  if (backups === 0) {
    rmSync(path, { force: true });
    return;
  }
  let last = 0;
  while (last < backups - 1 && existsSync(`${path}.${last + 1}`)) last += 1;
  for (let number = last; number >= 1; number -= 1) renameSync(`${path}.${number}`, `${path}.${number + 1}`);
  renameSync(path, `${path}.1`);
}

function endsWithNewline(file: number, size: number): boolean {
  const byte = Buffer.alloc(1);
  return readSync(file, byte, 0, 1, size - 1) === 1 && byte[0] === 0x0a;
}
