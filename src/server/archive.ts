// The archive of a backup: a plain tar whose first file says what is in it, how large it is and its digest.
import { createHash } from 'node:crypto';
import { closeSync, fchmodSync, fstatSync, fsyncSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { KubiyaError, messageOf } from '../errors.ts';

export const archivedNames = ['control-plane.db', 'temporal.db', 'signing-key', 'token'] as const;
export type ArchivedName = (typeof archivedNames)[number];

const manifestSchema = v.object({
  format: v.literal(1),
  kind: v.literal('kubiya-server-backup'),
  /** Of the program that wrote it. */
  version: v.string(),
  created_at: v.string(),
  /** Migrations that its control-plane.db has. */
  schema: v.pipe(v.number(), v.integer(), v.minValue(0)),
  files: v.array(
    v.object({
      name: v.picklist(archivedNames),
      bytes: v.pipe(v.number(), v.integer(), v.minValue(0)),
      sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
    }),
  ),
});
export type Manifest = v.InferOutput<typeof manifestSchema>;

const manifestName = 'manifest.json';
const manifestBytesMax = 64 * 1024;
const blockBytes = 512;
const chunkBytes = 1024 * 1024;
/** Eleven octal digits. */
const fileBytesMax = 8 ** 11 - 1;

/** Writes files of a directory as a new owner-only archive at `path`, synced. Throws the system's error. */
export function writeArchive(
  path: string,
  directory: string,
  names: readonly ArchivedName[],
  facts: Pick<Manifest, 'version' | 'created_at' | 'schema'>,
): Manifest {
  const files = names.map((name) => digestOf(join(directory, name), name));
  const manifest: Manifest = { format: 1, kind: 'kubiya-server-backup', ...facts, files };
  const target = openSync(path, 'wx', 0o600);
  try {
    fchmodSync(target, 0o600);
    const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
    writeAll(target, headerOf(manifestName, text.length));
    writeAll(target, padded(text));
    for (const { name, bytes } of files) {
      writeAll(target, headerOf(name, bytes));
      copyInto(target, join(directory, name), bytes);
      writeAll(target, Buffer.alloc(paddingOf(bytes)));
    }
    writeAll(target, Buffer.alloc(2 * blockBytes));
    fsyncSync(target);
  } finally {
    closeSync(target);
  }
  return manifest;
}

/**
 * Reads an archive to its end and checks every byte of it; with a directory it also puts the files there. Throws a
 * KubiyaError when it is none of ours, or damaged.
 */
export function readArchive(path: string, directory?: string): Manifest {
  const source = openArchive(path);
  try {
    const reader = createReader(source);
    const first = reader.header();
    if (first?.name !== manifestName || first.bytes > manifestBytesMax) throw damaged(path, 'it has no manifest');
    const manifest = parseManifest(path, reader.text(first.bytes));
    const missing = new Map(manifest.files.map((file) => [file.name as string, file]));
    for (let entry = reader.header(); entry !== null; entry = reader.header()) {
      const expected = missing.get(entry.name);
      if (expected === undefined || expected.bytes !== entry.bytes)
        throw damaged(path, 'it does not hold what its manifest says');
      missing.delete(entry.name);
      const target = directory === undefined ? undefined : openSync(join(directory, expected.name), 'wx', 0o600);
      try {
        const sha256 = reader.content(entry.bytes, target);
        if (sha256 !== expected.sha256) throw damaged(path, `the digest of ${expected.name} is another one`);
        if (target !== undefined) fsyncSync(target);
      } finally {
        if (target !== undefined) closeSync(target);
      }
    }
    const [absent] = missing.keys();
    if (absent !== undefined) throw damaged(path, `${absent} is missing`);
    return manifest;
  } catch (error) {
    throw error instanceof EndOfArchive ? damaged(path, 'it ends too early') : error;
  } finally {
    closeSync(source);
  }
}

/** The file has fewer bytes than it says. */
class EndOfArchive extends Error {}

interface Entry {
  readonly name: string;
  readonly bytes: number;
}

/** Reads forward only; every method throws EndOfArchive when the file ends before its time. */
function createReader(source: number) {
  const take = (buffer: Buffer): Buffer => {
    for (let filled = 0; filled < buffer.length;) {
      const count = readSync(source, buffer, filled, buffer.length - filled, null);
      if (count === 0) throw new EndOfArchive();
      filled += count;
    }
    return buffer;
  };
  const block = Buffer.alloc(blockBytes);
  return {
    /** Null at the end mark. */
    header: (): Entry | null => {
      take(block);
      if (block.every((byte) => byte === 0)) return null;
      const bytes = Number.parseInt(textIn(block, 124, 12), 8);
      const isIntact = Number.parseInt(textIn(block, 148, 8), 8) === checksumOf(block);
      if (!isIntact || !Number.isSafeInteger(bytes) || bytes < 0 || textIn(block, 156, 1) !== '0')
        throw new EndOfArchive();
      return { name: textIn(block, 0, 100), bytes };
    },
    text: (bytes: number): string => take(Buffer.alloc(bytes + paddingOf(bytes))).toString('utf8', 0, bytes),
    /** Returns the digest. */
    content: (bytes: number, target: number | undefined): string => {
      const hash = createHash('sha256');
      const chunk = Buffer.alloc(Math.min(chunkBytes, bytes));
      for (let left = bytes; left > 0; left -= Math.min(left, chunk.length)) {
        const data = take(chunk.subarray(0, Math.min(left, chunk.length)));
        hash.update(data);
        if (target !== undefined) writeAll(target, data);
      }
      take(Buffer.alloc(paddingOf(bytes)));
      return hash.digest('hex');
    },
  };
}

function openArchive(path: string): number {
  try {
    const source = openSync(path, 'r');
    if (fstatSync(source).isFile()) return source;
    closeSync(source);
  } catch (error) {
    throw new KubiyaError(`the backup ${path} cannot be read: ${messageOf(error)}`, {
      kind: 'configuration',
      code: 'backup_unreadable',
      hint: 'give the file that `kubiya server backup` has written',
      cause: error,
    });
  }
  throw damaged(path, 'it is not a file');
}

function parseManifest(path: string, text: string): Manifest {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw damaged(path, 'its manifest is not JSON', error);
  }
  const parsed = v.safeParse(manifestSchema, content);
  if (!parsed.success) throw damaged(path, 'its manifest is not one that this version knows');
  const names = new Set<string>(parsed.output.files.map(({ name }) => name));
  if (names.size === parsed.output.files.length && names.has('control-plane.db')) return parsed.output;
  throw damaged(path, 'its manifest does not name each file once, with control-plane.db among them');
}

export function damaged(path: string, reason: string, cause?: unknown): KubiyaError {
  return new KubiyaError(`${path} is no usable backup of a kubiya server: ${reason}`, {
    kind: 'configuration',
    code: 'backup_damaged',
    hint: 'nothing was changed; use another backup',
    cause,
  });
}

function digestOf(path: string, name: ArchivedName): Manifest['files'][number] {
  const { size: bytes } = statSync(path);
  if (bytes > fileBytesMax) {
    throw new KubiyaError(`${name} is larger than a backup can hold (${fileBytesMax} bytes)`, {
      kind: 'limit',
      code: 'backup_too_large',
      hint: 'stop the server and copy its data directory',
    });
  }
  const hash = createHash('sha256');
  eachChunk(path, bytes, (chunk) => hash.update(chunk));
  return { name, bytes, sha256: hash.digest('hex') };
}

function copyInto(target: number, path: string, bytes: number): void {
  eachChunk(path, bytes, (chunk) => writeAll(target, chunk));
}

/** Exactly `bytes`, or it throws. The chunk is only valid during the call. */
function eachChunk(path: string, bytes: number, use: (chunk: Buffer) => void): void {
  const source = openSync(path, 'r');
  try {
    const chunk = Buffer.alloc(chunkBytes);
    for (let left = bytes; left > 0;) {
      const count = readSync(source, chunk, 0, Math.min(left, chunk.length), null);
      if (count === 0) throw new Error(`${path} has become shorter`);
      use(chunk.subarray(0, count));
      left -= count;
    }
  } finally {
    closeSync(source);
  }
}

function writeAll(target: number, data: Buffer): void {
  for (let written = 0; written < data.length;) written += writeSync(target, data, written);
}

/** POSIX ustar: what `tar tf` lists. */
function headerOf(name: string, bytes: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  block.write(name, 0);
  block.write('0000600\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  block.write(`${octal(bytes, 11)}\0`, 124);
  block.write(`${octal(0, 11)}\0`, 136);
  block.write('0', 156);
  block.write('ustar', 257);
  block.write('00', 263);
  block.write(`${octal(checksumOf(block), 6)}\0 `, 148);
  return block;
}

/** Of all bytes, its own field counted as spaces. */
function checksumOf(block: Buffer): number {
  return block.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 0x20 : byte), 0);
}

const octal = (value: number, digits: number): string => value.toString(8).padStart(digits, '0');
const paddingOf = (bytes: number): number => (blockBytes - (bytes % blockBytes)) % blockBytes;
const padded = (data: Buffer): Buffer => Buffer.concat([data, Buffer.alloc(paddingOf(data.length))]);

function textIn(block: Buffer, start: number, length: number): string {
  const [text = ''] = block.toString('latin1', start, start + length).split('\0');
  return text.trim();
}
