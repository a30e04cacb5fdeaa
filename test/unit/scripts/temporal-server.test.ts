// How the build gets the Temporal dev server: from the first source that has the pinned one, once, and no other.
import { afterAll, beforeEach, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DevServerBuild, devServerVersion } from '../../../scripts/targets.ts';
import { compressDevServer, fetchDevServer, fetchFromVendor } from '../../../scripts/temporal-server.ts';

const program = Buffer.from('#!/bin/sh\necho not really temporal\n'.repeat(1000));
const build: DevServerBuild = {
  pipPlatform: 'manylinux2014_x86_64',
  uvPlatform: 'x86_64-manylinux2014',
  vendorPlatform: 'linux',
  vendorArchitecture: 'amd64',
  sha256: createHash('sha256').update(program).digest('hex'),
  bytes: program.length,
};

let requests: string[] = [];
let answer: () => Promise<Response> = async () => new Response('not here', { status: 404 });
const vendor = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  fetch(request) {
    const { pathname, search } = new URL(request.url);
    requests.push(pathname + search);
    return answer();
  },
});
const site = `http://127.0.0.1:${vendor.port}`;
const fromVendor = {
  name: 'vendor',
  fetch: (wanted: DevServerBuild, directory: string) => fetchFromVendor(site, wanted, directory),
};

const root = mkdtempSync(join(tmpdir(), 'kubiya-dev-server-'));
let cache = '';
beforeEach(() => {
  cache = mkdtempSync(join(root, 'cache-'));
  requests = [];
});
afterAll(async () => {
  await vendor.stop(true);
  rmSync(root, { recursive: true, force: true });
});

async function archive(content: Uint8Array): Promise<Response> {
  const packed = new Bun.Archive({ LICENSE: 'MIT', temporal: content }, { compress: 'gzip' });
  return new Response(await packed.bytes());
}

test('the vendor is asked once, in the words of its site', async () => {
  answer = () => archive(program);
  const executable = await fetchDevServer(build, cache, [fromVendor]);
  expect(readFileSync(executable).equals(program)).toBe(true);
  expect(statSync(executable).mode & 0o100).toBe(0o100);
  expect(requests).toEqual([`/cli/archive/v${devServerVersion}?platform=linux&arch=amd64`]);
  answer = () => Promise.reject(new Error('asked twice'));
  expect(await fetchDevServer(build, cache, [fromVendor])).toBe(executable);
  expect(requests).toHaveLength(1);
});

test('another program than the pinned one is refused, and nothing of it stays', async () => {
  answer = () => archive(Buffer.from('evil'));
  const failure: unknown = await fetchDevServer(build, cache, [fromVendor]).catch((error: unknown) => error);
  expect(String(failure)).toContain('refused: the SHA-256');
  expect(String(failure)).toContain('--slim');
  expect(readdirSync(cache)).toEqual([]);
});

test('a source that fails is followed by the next, and all of them are named when none has it', async () => {
  answer = async () => new Response('', { status: 503 });
  const broken = { name: 'broken', fetch: () => Promise.reject(new Error('no such platform')) };
  const failure: unknown = await fetchDevServer(build, cache, [broken, fromVendor]).catch((error: unknown) => error);
  expect(String(failure)).toContain('broken: no such platform');
  expect(String(failure)).toContain('answered 503');
  answer = () => archive(program);
  expect(readFileSync(await fetchDevServer(build, cache, [broken, fromVendor])).equals(program)).toBe(true);
});

test('a truncated archive is refused', async () => {
  answer = async () => new Response((await (await archive(program)).arrayBuffer()).slice(0, 60));
  const failure: unknown = await fetchDevServer(build, cache, [fromVendor]).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(Error);
  expect(readdirSync(cache)).toEqual([]);
});

test('it is compressed once per level, into something that gives it back', async () => {
  const executable = join(cache, 'temporal');
  writeFileSync(executable, program);
  const compressed = await compressDevServer(executable, 9);
  expect(Bun.zstdDecompressSync(readFileSync(compressed)).equals(program)).toBe(true);
  const { mtimeMs } = statSync(compressed);
  expect(await compressDevServer(executable, 9)).toBe(compressed);
  expect(statSync(compressed).mtimeMs).toBe(mtimeMs);
  expect(await compressDevServer(executable, 19)).not.toBe(compressed);
});
