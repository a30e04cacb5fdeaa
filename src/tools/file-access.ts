// Reading and writing one file for a tool: regular files only, bounded, decoded strictly where text is written back.
import { mkdirSync } from 'node:fs';
import { type FileHandle, constants, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import { createLineSplitter } from '../lib/lines.ts';
import { type PathPolicy, fileProblem, resolvePath } from './paths.ts';
import type { Attempt } from './tool.ts';

export interface FilePolicy extends PathPolicy {
  readonly fileBytesMax: number;
}

/** What a file tool works with: where, and how far. */
export interface FileScope {
  readonly workspace: string;
  readonly policy: FilePolicy;
  readonly signal: AbortSignal;
}

const encodings: Readonly<Record<string, BufferEncoding>> = {
  'utf-8': 'utf8',
  utf8: 'utf8',
  ascii: 'latin1',
  latin1: 'latin1',
  'latin-1': 'latin1',
  'iso-8859-1': 'latin1',
  'utf-16le': 'utf16le',
  'utf-16': 'utf16le',
};

/** One line in a chunk; a longer one (minified code) is cut. */
const lineLengthMax = 20_000;
const readBytes = 256 * 1024;

export function encodingOf(name: string | undefined): Attempt<BufferEncoding> {
  const encoding = encodings[(name ?? 'utf-8').toLowerCase().replaceAll('_', '-')];
  if (encoding !== undefined) return { ok: true, value: encoding };
  return {
    ok: false,
    problem: `The encoding ${name ?? ''} is unknown; use one of ${Object.keys(encodings).join(', ')}`,
  };
}

/** The whole text. `isExact` refuses bytes that are not valid in the encoding, because writing them back would change them. */
export async function readText(
  name: string,
  scope: FileScope,
  options: { readonly encoding?: string | undefined; readonly isExact?: boolean } = {},
): Promise<Attempt<string>> {
  const encoding = encodingOf(options.encoding);
  if (!encoding.ok) return encoding;
  const bytes = await withFile(name, scope, async (handle) => {
    const { size } = await handle.stat();
    if (size > scope.policy.fileBytesMax) {
      return { ok: false, problem: `${name} has ${size} bytes, more than the limit of ${scope.policy.fileBytesMax}` };
    }
    return { ok: true, value: await readAtMost(handle, scope.policy.fileBytesMax) };
  });
  if (!bytes.ok) return bytes;
  if (encoding.value !== 'utf16le' && bytes.value.includes(0))
    return { ok: false, problem: `${name} is a binary file` };
  if (options.isExact === true && encoding.value === 'utf8' && !isValidUtf8(bytes.value)) {
    return { ok: false, problem: `${name} is not valid UTF-8, so it was left alone` };
  }
  return { ok: true, value: bytes.value.toString(encoding.value) };
}

export interface Lines {
  readonly lines: readonly string[];
  /** Lines in the file, when its end was reached. */
  readonly lineCount: number | undefined;
}

/** The lines from `first` to `last` (1 is the first), at most `bytesMax` bytes of them, of a file of any size. */
export function readLines(
  name: string,
  scope: FileScope,
  range: {
    readonly first: number;
    readonly last: number;
    readonly bytesMax: number;
    readonly encoding: BufferEncoding;
  },
): Promise<Attempt<Lines>> {
  return withFile<Lines>(name, scope, async (handle) => {
    const lines: string[] = [];
    let lineNumber = 0;
    let bytes = 0;
    const splitter = createLineSplitter({
      lineLengthMax,
      onLine: (line, isTruncated) => {
        lineNumber += 1;
        if (lineNumber < range.first || lineNumber > range.last || bytes > range.bytesMax) return;
        bytes += Buffer.byteLength(line) + 1;
        lines.push(isTruncated ? `${line}…` : line);
      },
    });
    const decoder = new StringDecoder(range.encoding);
    const chunk = Buffer.alloc(readBytes);
    while (lineNumber < range.last && bytes <= range.bytesMax) {
      scope.signal.throwIfAborted();
      const { bytesRead } = await handle.read(chunk, 0, chunk.length);
      if (bytesRead === 0) {
        splitter.push(decoder.end());
        splitter.flush();
        return { ok: true, value: { lines, lineCount: lineNumber } };
      }
      splitter.push(decoder.write(chunk.subarray(0, bytesRead)));
    }
    return { ok: true, value: { lines, lineCount: undefined } };
  });
}

/** Replaces or creates a file as a whole; keeps the permissions of one that exists. */
export function writeText(
  name: string,
  text: string,
  scope: FileScope,
  options: { readonly encoding?: string | undefined; readonly mayReplace: boolean },
): Attempt<number> {
  const encoding = encodingOf(options.encoding);
  if (!encoding.ok) return encoding;
  const bytes = Buffer.from(text, encoding.value);
  if (bytes.length > scope.policy.fileBytesMax) {
    return {
      ok: false,
      problem: `The text has ${bytes.length} bytes, more than the limit of ${scope.policy.fileBytesMax}`,
    };
  }
  const target = resolvePath(name, scope.workspace, scope.policy);
  if (!target.ok) return target;
  if (target.stats?.isDirectory() === true) return { ok: false, problem: `${name} is a directory` };
  if (target.stats !== undefined && !options.mayReplace) {
    return { ok: false, problem: `${name} exists already and overwrite is false` };
  }
  // A rename would replace a file that its owner made read-only.
  if (target.stats !== undefined && (target.stats.mode & 0o222) === 0) {
    return { ok: false, problem: `${name} is read-only` };
  }
  try {
    mkdirSync(dirname(target.path), { recursive: true });
    writeFileAtomic(target.path, bytes, { mode: target.stats === undefined ? 0o644 : target.stats.mode & 0o777 });
    return { ok: true, value: bytes.length };
  } catch (error) {
    return { ok: false, problem: fileProblem(error, name) };
  }
}

async function withFile<TValue>(
  name: string,
  scope: FileScope,
  use: (handle: FileHandle) => Promise<Attempt<TValue>>,
): Promise<Attempt<TValue>> {
  const target = resolvePath(name, scope.workspace, scope.policy);
  if (!target.ok) return target;
  if (target.stats?.isDirectory() === true) return { ok: false, problem: `${name} is a directory` };
  let handle: FileHandle | undefined;
  try {
    // The path has no links; one that appears in the meantime is not followed, and a pipe does not block.
    handle = await open(target.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!(await handle.stat()).isFile()) return { ok: false, problem: `${name} is not a regular file` };
    return await use(handle);
  } catch (error) {
    if (scope.signal.aborted) return { ok: false, problem: `Reading ${name} was stopped` };
    return { ok: false, problem: fileProblem(error, name) };
  } finally {
    await handle?.close();
  }
}

/** Files below /proc say that they have no bytes: read to the end, not to the size. */
async function readAtMost(handle: FileHandle, bytesMax: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let total = 0;
  while (total < bytesMax) {
    const chunk = Buffer.alloc(Math.min(readBytes, bytesMax - total));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length);
    if (bytesRead === 0) break;
    parts.push(chunk.subarray(0, bytesRead));
    total += bytesRead;
  }
  return Buffer.concat(parts);
}

function isValidUtf8(bytes: Buffer): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
