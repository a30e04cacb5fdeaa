// Atomic files and secure directories on a real file system.
import { afterAll, beforeEach, describe, expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomic } from '../../../src/lib/atomic-file.ts';
import { ensureSecureDirectory } from '../../../src/lib/secure-directory.ts';

const root = mkdtempSync(join(tmpdir(), 'files-'));
let directory = root;
beforeEach(() => {
  directory = mkdtempSync(join(root, 'case-'));
});
afterAll(() => rmSync(root, { recursive: true }));

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

function withUmask(mask: number, action: () => void): void {
  const before = process.umask(mask);
  try {
    action();
  } finally {
    process.umask(before);
  }
}

describe('writeFileAtomic', () => {
  test.each([0o000, 0o022, 0o777])('writes for its owner only under umask %p', (mask) => {
    const path = join(directory, 'file');
    withUmask(mask, () => writeFileAtomic(path, 'one'));
    withUmask(mask, () => writeFileAtomic(path, 'two €'));
    expect(readFileSync(path, 'utf8')).toBe('two €');
    expect(modeOf(path)).toBe('600');
    expect(readdirSync(directory)).toEqual(['file']);
  });

  test('takes another mode and bytes', () => {
    const path = join(directory, 'file');
    withUmask(0o777, () => writeFileAtomic(path, new Uint8Array([0, 255]), { mode: 0o755 }));
    expect(modeOf(path)).toBe('755');
    expect([...readFileSync(path)]).toEqual([0, 255]);
  });

  test('takes every name that the file system takes', () => {
    const path = join(directory, 'n'.repeat(255));
    writeFileAtomic(path, 'x');
    expect(readFileSync(path, 'utf8')).toBe('x');
  });

  test('leaves nothing beside the target when it fails', () => {
    const path = join(directory, 'taken');
    mkdirSync(join(path, 'inside'), { recursive: true });
    expect(() => writeFileAtomic(path, 'x')).toThrow(expect.objectContaining({ code: 'EISDIR' }));
    expect(readdirSync(directory)).toEqual(['taken']);
    expect(() => writeFileAtomic(join(directory, 'no', 'file'), 'x')).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    );
  });

  test('replaces a symbolic link and leaves its target alone', () => {
    const target = join(directory, 'target');
    writeFileSync(target, 'old');
    symlinkSync(target, join(directory, 'link'));
    writeFileAtomic(join(directory, 'link'), 'new');
    expect(readFileSync(target, 'utf8')).toBe('old');
    expect(readFileSync(join(directory, 'link'), 'utf8')).toBe('new');
  });
});

describe('ensureSecureDirectory', () => {
  test.each([0o000, 0o022, 0o777])('creates the whole path with 0700 under umask %p', (mask) => {
    const path = join(directory, 'a', 'b', 'c');
    withUmask(mask, () => ensureSecureDirectory(path));
    for (const part of ['a', 'a/b', 'a/b/c']) expect(modeOf(join(directory, part))).toBe('700');
  });

  test('narrows an existing directory and leaves its parents and content', () => {
    const path = join(directory, 'open');
    mkdirSync(path);
    chmodSync(path, 0o755);
    chmodSync(directory, 0o755);
    writeFileSync(join(path, 'file'), 'x');
    ensureSecureDirectory(path);
    expect(modeOf(path)).toBe('700');
    expect(modeOf(directory)).toBe('755');
    expect(existsSync(join(path, 'file'))).toBe(true);
  });

  test('refuses a symbolic link, even to a directory, and a dangling one', () => {
    symlinkSync(directory, join(directory, 'link'));
    symlinkSync(join(directory, 'nowhere'), join(directory, 'dangling'));
    for (const name of ['link', 'dangling']) {
      const attempt = (): void => ensureSecureDirectory(join(directory, name));
      expect(attempt).toThrow(expect.objectContaining({ reason: 'symbolic_link' }));
    }
    expect(existsSync(join(directory, 'nowhere'))).toBe(false);
  });

  test('refuses a file', () => {
    writeFileSync(join(directory, 'file'), '');
    expect(() => ensureSecureDirectory(join(directory, 'file'))).toThrow(
      expect.objectContaining({ reason: 'not_a_directory' }),
    );
  });

  test('refuses a directory of another user', () => {
    // The root of the file system belongs to root; when we are root, nobody's directory has to be made.
    const path = join(directory, 'theirs');
    mkdirSync(path);
    if (process.getuid?.() === 0) Bun.spawnSync(['chown', '65534', path]);
    const target = process.getuid?.() === 0 ? path : '/usr';
    expect(() => ensureSecureDirectory(target)).toThrow(expect.objectContaining({ reason: 'other_owner' }));
  });
});
