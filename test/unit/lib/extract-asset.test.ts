// Extraction into the cache: right content, whoever races or tampers, and clear words when the disk does not allow it.
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubiyaError } from '../../../src/errors.ts';
import { extractAsset, type ExtractRequest } from '../../../src/lib/extract-asset.ts';

let home: string;
let opened: number;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'kubiya-extract-'));
  opened = 0;
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const content = Buffer.alloc(300_000, 'kubiya');

function request(overrides: Partial<ExtractRequest> = {}, data: Uint8Array = content): ExtractRequest {
  return {
    directory: join(home, 'cache'),
    name: 'thing',
    suffix: '.node',
    sha256: createHash('sha256').update(data).digest('hex'),
    bytes: data.length,
    open: function* () {
      opened += 1;
      for (let at = 0; at < data.length; at += 65_536) yield data.subarray(at, at + 65_536);
    },
    mustVerify: false,
    ...overrides,
  };
}

async function failureOf(promise: Promise<unknown>): Promise<KubiyaError> {
  const failure = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(failure instanceof KubiyaError)) throw new Error(`expected a KubiyaError, got ${String(failure)}`);
  return failure;
}

describe('a file in the cache', () => {
  test('has the content, is for its owner alone, and is extracted once', async () => {
    const path = await extractAsset(request());
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(statSync(join(home, 'cache')).mode & 0o777).toBe(0o700);
    expect(await extractAsset(request())).toBe(path);
    expect(opened).toBe(1);
    expect(readdirSync(join(home, 'cache')).toSorted()).toEqual(
      [path, `${path}.ok`].map((file) => file.slice(home.length + 7)),
    );
  });

  test('that was changed is replaced, even when size, time and inode are as before', async () => {
    const path = await extractAsset(request());
    const { atime, mtime, ino } = statSync(path);
    writeFileSync(path, Buffer.concat([Buffer.from('evil'), content.subarray(4)]));
    utimesSync(path, atime, mtime);
    expect(statSync(path).ino).toBe(ino);
    await extractAsset(request());
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(opened).toBe(2);
  });

  test('that was cut short, and a stamp that is missing or wrong, are noticed', async () => {
    const path = await extractAsset(request());
    writeFileSync(path, content.subarray(0, 10));
    await extractAsset(request());
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(opened).toBe(2);
    for (const spoil of [() => rmSync(`${path}.ok`), () => writeFileSync(`${path}.ok`, 'nonsense')]) {
      spoil();
      await extractAsset(request());
      expect(readFileSync(`${path}.ok`, 'utf8')).toMatch(/^300000:\d+:\d+:\d+$/);
    }
    expect(opened).toBe(2);
  });

  test('is hashed again when asked to, and a forged stamp does not help then', async () => {
    const path = await extractAsset(request());
    writeFileSync(path, Buffer.concat([Buffer.from('evil'), content.subarray(4)]));
    const { size, mtimeNs, ctimeNs, ino } = statSync(path, { bigint: true });
    writeFileSync(`${path}.ok`, `${size}:${mtimeNs}:${ctimeNs}:${ino}`);
    await extractAsset(request());
    expect(readFileSync(path).equals(content)).toBe(false);
    await extractAsset(request({ mustVerify: true }));
    expect(readFileSync(path).equals(content)).toBe(true);
  });

  test('may be asked for by many at once', async () => {
    const paths = await Promise.all(Array.from({ length: 8 }, () => extractAsset(request())));
    expect(new Set(paths).size).toBe(1);
    expect(readFileSync(paths[0] ?? '').equals(content)).toBe(true);
    expect(readdirSync(join(home, 'cache'))).toHaveLength(2);
  });

  test('keeps two older versions, and nothing that a killed process left', async () => {
    const versions = ['1', '2', '3', '4', '5'].map((digit) => Buffer.alloc(100, digit));
    for (const [index, version] of versions.entries()) {
      const path = await extractAsset(request({}, version));
      utimesSync(path, index, index);
    }
    const abandoned = join(home, 'cache', 'thing-0123456789abcdef.node.dead.tmp');
    const running = join(home, 'cache', 'thing-0123456789abcdef.node.live.tmp');
    for (const path of [abandoned, running, join(home, 'cache', 'other-file')]) writeFileSync(path, '');
    utimesSync(abandoned, 0, 0);
    await extractAsset(request());
    const left = readdirSync(join(home, 'cache'));
    expect(left.filter((file) => file.endsWith('.node'))).toHaveLength(3);
    expect(left.filter((file) => file.endsWith('.ok'))).toHaveLength(3);
    expect(left).toContain('other-file');
    expect(existsSync(running)).toBe(true);
    expect(existsSync(abandoned)).toBe(false);
  });
});

describe('what cannot be extracted', () => {
  test('a damaged asset is our bug, not the cache, and leaves nothing', async () => {
    const failure: unknown = await extractAsset(request({ sha256: 'f'.repeat(64) })).catch((error: unknown) => error);
    expect(failure).not.toBeInstanceOf(KubiyaError);
    expect(String(failure)).toContain('damaged');
    expect(readdirSync(join(home, 'cache'))).toEqual([]);
  });

  test('an asset that ends early is damaged as well', async () => {
    const failure: unknown = await extractAsset(request({ open: () => [content.subarray(5)] })).catch(
      (error: unknown) => error,
    );
    expect(String(failure)).toContain('damaged');
  });

  const places: readonly (readonly [what: string, arrange: (cache: string) => string, sentence: string])[] = [
    ['a file in the way', (cache) => (writeFileSync(cache, ''), cache), 'is not a directory'],
    ['a symbolic link', (cache) => (symlinkSync(tmpdir(), cache), cache), 'symbolic link'],
    [
      'a file in place of its parent',
      (cache) => (writeFileSync(cache, ''), join(cache, 'deeper')),
      'a file is in the way',
    ],
  ];
  for (const [what, arrange, sentence] of places) {
    test(`${what} is one sentence with a hint`, async () => {
      const failure = await failureOf(extractAsset(request({ directory: arrange(join(home, 'cache')) })));
      expect(failure).toMatchObject({ kind: 'configuration', code: 'cache_unwritable', exitCode: 6 });
      expect(failure.message).toContain(sentence);
      expect(failure.message).not.toContain('\n');
      expect(failure.hint).toContain('KUBIYA_HOME');
    });
  }
});
