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
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf } from '../errors.ts';
import { ensureSecureDirectory } from '../lib/secure-directory.ts';

export interface RotatingFile {
  readonly path: string;
  /** Lines that could not be written. */
  readonly linesLost: number;
  /** Why the last one could not (`ENOSPC`); undefined as long as all went well. */
  readonly lastError: unknown;
  /** One complete line with its newline; false when it could not be written, or after `close`. Never throws. */
  write(line: string): boolean;
  /** The same for a line that is bytes already: the first `length` of them. */
  writeBytes(bytes: Uint8Array, length: number): boolean;
  /** Nothing is written afterwards. */
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
  /** Last line of a file that is rotated away: says where the log goes on, for those who follow the old file. Always as long. */
  readonly trailer?: (() => string) | undefined;
  /** Written before the first line that can be written again: how many could not, and the last reason. */
  readonly lossReport?: ((lines: number, reason: unknown) => string) | undefined;
}

/**
 * Opening waits for the first line, and makes the directory (0700) when it is gone: what cannot be written costs lines,
 * not the process.
 */
export function createRotatingFile(options: RotatingFileOptions): RotatingFile {
  return new OwnFile(options);
}

/** Others may remove, rename, truncate or extend the file; this often it is looked at, for a tenth of what one line costs. */
const checkEveryMs = 250;

class OwnFile implements RotatingFile {
  linesLost = 0;
  lastError: unknown;
  readonly #options: RotatingFileOptions;
  #descriptor: number | undefined;
  #size = 0;
  /** Of a file with nothing but its header. */
  #emptySize = 0;
  #trailerBytes = 0;
  #hasTrailer = false;
  #checkedAtMs = 0;
  #linesUnreported = 0;
  #isClosed = false;

  constructor(options: RotatingFileOptions) {
    this.#options = options;
  }

  get path(): string {
    return this.#options.path;
  }

  write(line: string): boolean {
    const bytes = Buffer.from(line);
    return this.writeBytes(bytes, bytes.length);
  }

  writeBytes(bytes: Uint8Array, length: number): boolean {
    if (this.#isClosed) return false;
    try {
      this.#append(bytes, length);
      return true;
    } catch (error) {
      this.linesLost += 1;
      this.#linesUnreported += 1;
      this.lastError = error;
      return false;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#closeDescriptor();
  }

  #append(bytes: Uint8Array, length: number): void {
    let file = this.#current();
    const report = this.#linesUnreported > 0 ? this.#lossReport() : undefined;
    const needed = length + (report?.length ?? 0);
    if (this.#isFullFor(needed)) {
      // Somebody else may have rotated it a moment ago.
      this.#checkedAtMs = 0;
      file = this.#current();
      if (this.#isFullFor(needed)) file = this.#rotate(file);
    }
    if (this.#size === 0) {
      const { header } = this.#options;
      if (header !== undefined) this.#writeText(file, header());
      this.#emptySize = this.#size;
    }
    if (report === undefined) this.#writeAll(file, bytes, length);
    else this.#writeAll(file, Buffer.concat([report, bytes.subarray(0, length)]), needed);
    this.#linesUnreported = 0;
  }

  #lossReport(): Buffer | undefined {
    const text = this.#options.lossReport?.(this.#linesUnreported, this.lastError);
    return text === undefined ? undefined : Buffer.from(text);
  }

  #isFullFor(length: number): boolean {
    return this.#size + length + this.#trailerBytes > this.#options.bytesMax && this.#size > this.#emptySize;
  }

  /** The open file that has the name now. */
  #current(): number {
    const nowMs = Date.now();
    const file = this.#descriptor;
    if (file === undefined) return this.#open(nowMs);
    // A clock that was set back must not end the checks.
    if (nowMs < this.#checkedAtMs + checkEveryMs && nowMs >= this.#checkedAtMs) return file;
    this.#checkedAtMs = nowMs;
    const own = fstatSync(file);
    const named = statSync(this.#options.path, { throwIfNoEntry: false });
    if (named === undefined || named.ino !== own.ino || named.dev !== own.dev) {
      this.#closeDescriptor();
      return this.#open(nowMs);
    }
    if (own.size !== this.#size) this.#measure(file, own.size);
    return file;
  }

  #open(nowMs: number): number {
    const file = openAppending(this.#options.path);
    this.#descriptor = file;
    this.#checkedAtMs = nowMs;
    this.#hasTrailer = false;
    this.#emptySize = 0;
    this.#trailerBytes = Buffer.byteLength(this.#options.trailer?.() ?? '');
    fchmodSync(file, 0o600);
    dropTornLine(file);
    this.#measure(file, fstatSync(file).size);
    return file;
  }

  /** Takes over what others have written; a line that they left without its end gets one. */
  #measure(file: number, size: number): void {
    this.#size = size;
    if (size > 0 && !endsWithNewline(file, size)) this.#writeText(file, '\n');
  }

  #rotate(file: number): number {
    const { trailer, path, backups, bytesMax } = this.#options;
    if (trailer !== undefined && !this.#hasTrailer && this.#size + this.#trailerBytes <= bytesMax) {
      this.#hasTrailer = true;
      try {
        this.#writeText(file, trailer());
      } catch (error) {
        // The rotation matters more: on a full disk it makes room.
        this.lastError = error;
      }
    }
    shiftBackups(path, backups);
    this.#closeDescriptor();
    return this.#open(Date.now());
  }

  #writeText(file: number, text: string): void {
    const bytes = Buffer.from(text);
    this.#writeAll(file, bytes, bytes.length);
  }

  #writeAll(file: number, bytes: Uint8Array, length: number): void {
    let written = 0;
    try {
      while (written < length) written += writeSync(file, bytes, written, length - written);
    } catch (error) {
      // A full disk takes the first half of a line; the second half must not end up behind another line.
      if (written > 0) ftruncateSync(file, fstatSync(file).size - written);
      throw error;
    }
    this.#size += length;
  }

  #closeDescriptor(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

function openAppending(path: string): number {
  try {
    return openSync(path, 'a+', 0o600);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    ensureSecureDirectory(dirname(path));
    return openSync(path, 'a+', 0o600);
  }
}

/** `.1` becomes `.2` and so on up to the first number that is missing, then the file becomes `.1`. */
function shiftBackups(path: string, backups: number): void {
  // An earlier start may have kept more.
  for (let number = Math.max(1, backups + 1); existsSync(`${path}.${number}`); number += 1) rmSync(`${path}.${number}`);
  if (backups === 0) {
    rmSync(path, { force: true });
    return;
  }
  let last = 0;
  while (last < backups - 1 && existsSync(`${path}.${last + 1}`)) last += 1;
  for (let number = last; number >= 1; number -= 1) renameSync(`${path}.${number}`, `${path}.${number + 1}`);
  // Gone in the moment before: then there is nothing to keep.
  if (existsSync(path)) renameSync(path, `${path}.1`);
}

/** An entry is far shorter; what has no line end for so long is no log of ours and is left as it is. */
const tornBytesMax = 1024 * 1024;

/**
 * The kernel ends a write between two pages when its process is killed. Nobody was told that this line is written, and half
 * of one would be taken for an entry.
 */
function dropTornLine(file: number): void {
  const { size } = fstatSync(file);
  if (size === 0 || endsWithNewline(file, size)) return;
  const tail = Buffer.alloc(Math.min(size, tornBytesMax));
  const read = readSync(file, tail, 0, tail.length, size - tail.length);
  const end = tail.subarray(0, read).lastIndexOf(0x0a) + 1;
  if (end > 0) ftruncateSync(file, size - tail.length + end);
}

function endsWithNewline(file: number, size: number): boolean {
  const byte = Buffer.alloc(1);
  return readSync(file, byte, 0, 1, size - 1) === 1 && byte[0] === 0x0a;
}
