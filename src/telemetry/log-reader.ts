// Reads a rotating log across its files, oldest line first, and follows it through rotations without losing a line.
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { errnoOf } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import { lineLevel, lineTime, logLevels, trailerMessage, type LogLevel } from './log-line.ts';

export interface ReadLogOptions {
  readonly path: string;
  /** Of the lines that are there and match, at most so many of the last ones; undefined gives all. */
  readonly linesMax: number | undefined;
  /** Milliseconds since 1970; only lines from then on. */
  readonly sinceMs: number | undefined;
  readonly matches: (line: string) => boolean;
  /** Goes on with what is written from now on, until the signal aborts; also of a log that is not there yet. */
  readonly isFollowing: boolean;
  readonly signal: AbortSignal;
}

export interface LineFilter {
  /** This level and those above it. */
  readonly level?: LogLevel | undefined;
  readonly pattern?: RegExp | undefined;
  /** Id of an execution that the line must mention. */
  readonly execution?: string | undefined;
}

/** What is no entry (the end of a crashed one) has no level, and is only left out when one is asked for. */
export function createLineFilter({ level, pattern, execution }: LineFilter): (line: string) => boolean {
  const lowest = level === undefined ? 0 : logLevels.indexOf(level);
  const id = execution?.replace(/[.*+?^${}()|[\]\\/]/g, String.raw`\$&`);
  const mention = id === undefined ? undefined : new RegExp(`(?<![A-Za-z0-9])${id}(?![A-Za-z0-9])`);
  return (line) => {
    if (level !== undefined) {
      const own = lineLevel(line);
      if (own === undefined || logLevels.indexOf(own) < lowest) return false;
    }
    return (pattern?.test(line) ?? true) && (mention?.test(line) ?? true);
  };
}

/** New lines are looked for this often: a tenth of what a person calls at once, and a file of 1 MB is never filled in it. */
const pollMs = 100;
/** Another program's rotation is noticed by the writer within a quarter of this; so long the old file may still grow. */
const foreignRotationMs = 1_000;
/** While the beginning is searched, others get a turn after so many lines. */
const linesPerTurn = 5_000;

/** Gives matching lines in batches, as they stand in the files and without their newline. Holds no file in memory. */
export async function* readLog(options: ReadLogOptions): AsyncGenerator<readonly string[], void> {
  const files = openFiles(options.path);
  try {
    await skipToStart(files, options);
    for (const file of files.slice(0, -1)) yield* linesOf(file, options);
    const last = files.at(-1);
    if (options.isFollowing) yield* follow(last, options);
    else if (last !== undefined) yield* linesOf(last, options);
  } finally {
    for (const file of files) file.close();
  }
}

/** The rest of a file that is complete, or taken as it is now. */
function* linesOf(file: OpenLog, { matches, signal }: ReadLogOptions): Generator<readonly string[], void> {
  for (let lines = file.read(); lines.length > 0 && !signal.aborted; lines = file.read()) yield lines.filter(matches);
  yield file.readTorn().filter(matches);
}

async function* follow(first: OpenLog | undefined, options: ReadLogOptions): AsyncGenerator<readonly string[], void> {
  const { path, matches, signal } = options;
  let current = first;
  let replacedAtMs: number | undefined;
  try {
    while (!signal.aborted) {
      const lines = current?.read() ?? [];
      if (lines.length > 0) {
        yield lines.filter(matches);
        continue;
      }
      const named = inodeOf(path);
      if (current !== undefined && (named === undefined || named === current.inode)) {
        // Nothing new, or moved away and not there again: whoever has it open may still write.
        replacedAtMs = undefined;
        if (named !== undefined) current.restartIfTruncated();
        await pause(signal);
      } else if (current === undefined && named === undefined) {
        await pause(signal);
      } else if (current !== undefined && !isOver(current, replacedAtMs)) {
        // Read once more, now that it is known to have been replaced.
        if (replacedAtMs !== undefined) await pause(signal);
        replacedAtMs ??= Date.now();
      } else {
        if (current !== undefined) yield current.readTorn().filter(matches);
        const newer = openFiles(path, current);
        current?.close();
        current = newer.at(-1);
        replacedAtMs = undefined;
        for (const file of newer.slice(0, -1)) {
          yield* linesOf(file, options);
          file.close();
        }
      }
    }
  } finally {
    current?.close();
  }
}

/** True when nothing can come any more of a file that has lost its name and was read to its end. */
function isOver(file: OpenLog, replacedAtMs: number | undefined): boolean {
  if (replacedAtMs === undefined) return false;
  return file.hasTrailer || Math.abs(Date.now() - replacedAtMs) >= foreignRotationMs;
}

async function pause(signal: AbortSignal): Promise<void> {
  await systemClock.sleep(pollMs, signal).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}

/** Moves every file to the first line that is wanted, from the last one backwards; what is before it is skipped. */
async function skipToStart(files: readonly OpenLog[], options: ReadLogOptions): Promise<void> {
  const { linesMax, sinceMs, matches, signal } = options;
  if (linesMax === undefined && sinceMs === undefined) return;
  let count = 0;
  let looked = 0;
  let isDone = linesMax === 0;
  for (const file of files.toReversed()) {
    let start = file.completeEnd;
    if (isDone) {
      // A line that is being written at the end of the last file will be whole.
      if (file === files.at(-1)) file.skipTo(start);
      else file.skipAll();
      continue;
    }
    for (const { line, offset } of file.backwards()) {
      const time = sinceMs === undefined ? undefined : lineTime(line);
      isDone = time !== undefined && sinceMs !== undefined && time < sinceMs;
      if (isDone) break;
      start = offset;
      if (matches(line)) count += 1;
      isDone = count === linesMax;
      if (isDone) break;
      looked += 1;
      if (looked % linesPerTurn === 0) await new Promise((resolve) => setImmediate(resolve));
      if (signal.aborted) return;
    }
    file.skipTo(start);
  }
}

/** What one reading takes; a longer line takes more. */
const chunkBytes = 256 * 1024;
/** A line beyond this is none of ours; it is given in pieces. */
const lineBytesMax = 16 * 1024 * 1024;
const newline = 0x0a;

interface LineAt {
  readonly line: string;
  readonly offset: number;
}

/** One file of the log, held open: it stays the same file whatever its name becomes. */
class OpenLog {
  readonly inode: string;
  /** True when the last line read says that the log goes on elsewhere. */
  hasTrailer = false;
  readonly #descriptor: number;
  #offset = 0;
  #isOpen = true;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.inode = inodeText(fstatSync(descriptor));
  }

  get modifiedMs(): number {
    return fstatSync(this.#descriptor).mtimeMs;
  }

  /** Where its last complete line ends. */
  get completeEnd(): number {
    for (let end = fstatSync(this.#descriptor).size; end > 0;) {
      const start = Math.max(0, end - chunkBytes);
      const found = this.#bytes(start, end - start).lastIndexOf(newline);
      if (found >= 0) return start + found + 1;
      end = start;
    }
    return 0;
  }

  /** Complete lines from where the last reading ended; none at the end of the file. */
  read(): readonly string[] {
    for (let size = chunkBytes; ; size *= 2) {
      const bytes = this.#bytes(this.#offset, size);
      const end = bytes.lastIndexOf(newline) + 1;
      if (end === 0 && bytes.length === size && size < lineBytesMax) continue;
      const isPiece = end === 0 && bytes.length === size;
      return this.#take(isPiece ? bytes : bytes.subarray(0, end));
    }
  }

  /** What follows the last newline. */
  readTorn(): readonly string[] {
    return this.#take(this.#bytes(this.#offset, lineBytesMax));
  }

  #take(bytes: Buffer): readonly string[] {
    if (bytes.length === 0) return [];
    this.#offset += bytes.length;
    const lines = bytes.toString('utf8').split('\n');
    if (lines.at(-1) === '') lines.pop();
    this.hasTrailer = lines.at(-1)?.includes(trailerMessage) ?? false;
    return lines;
  }

  /** From the last complete line to the first, each with the place where it begins. */
  *backwards(): Generator<LineAt, void> {
    let end = this.completeEnd; // of what has not been given
    let start = end;
    let bytes: Buffer = Buffer.alloc(0);
    while (end > 0) {
      // The newline that ends the line before; -1 of the last byte is that of this line.
      const found = bytes.length < 2 ? -1 : bytes.lastIndexOf(newline, bytes.length - 2);
      if (found < 0 && start > 0) {
        const more = Math.min(start, Math.max(chunkBytes, bytes.length));
        start -= more;
        bytes = Buffer.concat([this.#bytes(start, more), bytes]);
        continue;
      }
      const offset = start + found + 1;
      yield { line: bytes.toString('utf8', found + 1, bytes.length - 1), offset };
      end = offset;
      bytes = bytes.subarray(0, found + 1);
    }
  }

  skipTo(offset: number): void {
    this.#offset = offset;
  }

  /** Past everything, also a line that has no end yet: of a file that is complete. */
  skipAll(): void {
    this.#offset = fstatSync(this.#descriptor).size;
  }

  /** `copytruncate`: the file is the same and begins anew. */
  restartIfTruncated(): void {
    if (fstatSync(this.#descriptor).size < this.#offset) this.#offset = 0;
  }

  close(): void {
    if (this.#isOpen) closeSync(this.#descriptor);
    this.#isOpen = false;
  }

  #bytes(offset: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    let filled = 0;
    for (let count = 1; count > 0 && filled < length; filled += count) {
      count = readSync(this.#descriptor, bytes, filled, length - filled, offset + filled);
    }
    return bytes.subarray(0, filled);
  }
}

/**
 * The files of the log, oldest first; with `after` only those that are newer. A rotation may happen between two of the
 * openings: then a file is met twice, or one number is missing for a moment.
 */
function openFiles(path: string, after?: OpenLog): OpenLog[] {
  const found: OpenLog[] = [];
  let missing = 0;
  for (let number = 0; missing < 2; number += 1) {
    const file = openLog(number === 0 ? path : `${path}.${number}`);
    missing = file === undefined && number > 0 ? missing + 1 : 0;
    if (file === undefined) continue;
    if (file.inode === after?.inode) {
      file.close();
      return found.toReversed();
    }
    if (found.some(({ inode }) => inode === file.inode)) file.close();
    else found.push(file);
  }
  if (after === undefined) return found.toReversed();
  // The file that was read is gone: whatever was written before its end is older.
  const newer = found.filter((file) => file.modifiedMs >= after.modifiedMs);
  for (const file of found) if (!newer.includes(file)) file.close();
  return newer.toReversed();
}

function openLog(path: string): OpenLog | undefined {
  try {
    return new OpenLog(openSync(path, 'r'));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

function inodeOf(path: string): string | undefined {
  try {
    return inodeText(statSync(path));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

function inodeText({ dev, ino }: { readonly dev: number; readonly ino: number }): string {
  return `${dev}:${ino}`;
}
