// The door to child processes, with real ones.
import { afterAll, describe, expect, test } from 'bun:test';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { sleep } from '../../../src/lib/backoff.ts';
import { createId } from '../../../src/lib/ids.ts';
import { processStartTime, sweepByMarker } from '../../../src/lib/process-tree.ts';
import {
  baseEnvironment,
  type ChildHandle,
  createSpawner,
  exitCodeOf,
  type SpawnOptions,
  StartError,
} from '../../../src/lib/spawn.ts';

const instanceId = createId();
const events: string[] = [];
const spawner = createSpawner({
  instanceId,
  onStart: (pgid) => events.push(`start ${pgid}`),
  onEnd: (pgid) => events.push(`end ${pgid}`),
});
const directory = mkdtempSync(join(tmpdir(), 'spawn-'));
const base = { cwd: directory, environment: { PATH: process.env['PATH'] ?? '' } };
const outputOf = (child: ChildHandle): Promise<string> => text(child.stdout ?? Readable.from([]));
const shell = (script: string, options: Partial<SpawnOptions> = {}) =>
  spawner.start({ ...base, command: ['sh', '-c', script], ...options });

afterAll(() => {
  sweepByMarker(instanceId);
  rmSync(directory, { recursive: true });
});

const isGone = async (pid: number): Promise<boolean> => {
  for (let waitedMs = 0; waitedMs < 1_000 && processStartTime(pid) !== null; waitedMs += 10) await sleep(10);
  return processStartTime(pid) === null;
};

describe('start', () => {
  test('gives the child exactly its environment and the marker', async () => {
    const child = await spawner.start({ ...base, command: ['/usr/bin/env'], environment: { A: '1' }, stdout: 'pipe' });
    const output = await outputOf(child);
    const own = output.split('\n').filter((line) => !/^(PWD|SHLVL|_)=/.test(line) && line !== '');
    expect(own.sort()).toEqual(['A=1', `KUBIYA_INSTANCE=${instanceId}`]);
    expect(await child.exited).toEqual({ code: 0, signal: null });
  });

  test('looks the program up in the environment of the child', async () => {
    writeFileSync(join(directory, 'only-here'), '#!/bin/sh\nexit 7\n');
    chmodSync(join(directory, 'only-here'), 0o755);
    const child = await spawner.start({ ...base, command: ['only-here'], environment: { PATH: directory } });
    expect((await child.exited).code).toBe(7);
  });

  test('hands data to stdin and closes it; one that does not read it is no error', async () => {
    const reader = await spawner.start({ ...base, command: ['cat'], stdin: { data: 'ab€' }, stdout: 'pipe' });
    expect(await outputOf(reader)).toBe('ab€');
    const deaf = await spawner.start({ ...base, command: ['true'], stdin: { data: 'x'.repeat(1_000_000) } });
    expect((await deaf.exited).code).toBe(0);
    const piped = await spawner.start({ ...base, command: ['true'], stdin: 'pipe' });
    await piped.exited;
    piped.stdin?.write('too late');
    await sleep(20);
  });

  test('tells its scope of the group at the start and at the end', async () => {
    events.length = 0;
    const child = await shell('exit 3');
    expect(events).toEqual([`start ${child.pid}`]);
    expect((await child.exited).code).toBe(3);
    expect(events).toEqual([`start ${child.pid}`, `end ${child.pid}`]);
  });

  test('leaves nobody of the group behind when the leader ends by itself', async () => {
    const child = await shell('sleep 300 & echo $!', { stdout: 'pipe' });
    const pid = Number(await outputOf(child));
    expect(pid).toBeGreaterThan(1);
    expect(await isGone(pid)).toBe(true);
  });

  test('a child without a group of its own is in ours and unknown to the scope', async () => {
    events.length = 0;
    const child = await shell('ps -o pgid= -p $$', { stdout: 'pipe', isDetachedGroup: false });
    expect(Number(await outputOf(child))).not.toBe(child.pid);
    await child.exited;
    expect(events).toEqual([]);
    const waiting = await spawner.start({ ...base, command: ['sleep', '300'], isDetachedGroup: false });
    await waiting.stop({ graceMs: 1_000 });
    expect(await waiting.exited).toEqual({ code: null, signal: 'SIGTERM' });
    expect(waiting.signalGroup('SIGTERM')).toBe(false);
  });
});

describe('a command that cannot be started', () => {
  writeFileSync(join(directory, 'plain'), 'text');
  writeFileSync(join(directory, 'garbage'), '\0\u0001\0');
  chmodSync(join(directory, 'garbage'), 0o755);
  const cases: readonly (readonly [string, Partial<SpawnOptions>, string])[] = [
    ['missing in PATH', { command: ['no-such-program'] }, 'command_not_found'],
    ['missing file', { command: ['/no/such/program'] }, 'command_not_found'],
    ['empty command', { command: [] }, 'invalid_argument'],
    ['not executable', { command: [join(directory, 'plain')] }, 'not_executable'],
    ['a directory', { command: [directory] }, 'not_executable'],
    ['missing working directory', { command: ['true'], cwd: '/no/such/directory' }, 'directory_missing'],
    ['NUL in an argument', { command: ['echo', 'a\0b'] }, 'invalid_argument'],
    ['too large', { command: ['echo', 'x'.repeat(300_000)] }, 'too_large'],
  ];
  test.each(cases)('%s', async (_name, options, reason) => {
    events.length = 0;
    const failure: unknown = await spawner.start({ ...base, command: [], ...options }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StartError);
    expect(failure).toMatchObject({ reason });
    expect(events).toEqual([]);
  });
});

describe('stop', () => {
  test('lets the group end within its grace', async () => {
    const child = await shell('trap "exit 5" TERM; echo up; while :; do sleep 0.05; done', { stdout: 'pipe' });
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    await child.stop({ graceMs: 5_000 });
    expect(await child.exited).toEqual({ code: 5, signal: null });
  });

  test('kills what ignores SIGTERM, with its children, after the grace', async () => {
    const script = 'trap "" TERM; sleep 300 & echo $!; while :; do sleep 1; done';
    const child = await shell(script, { stdout: 'pipe' });
    const grandchild = await new Promise<number>((resolve) =>
      child.stdout?.once('data', (data) => resolve(Number(data))),
    );
    const start = performance.now();
    await Promise.all([child.stop({ graceMs: 150 }), child.stop({ graceMs: 5_000 })]);
    expect(performance.now() - start).toBeWithin(140, 2_000);
    expect((await child.exited).signal).toBe('SIGKILL');
    expect(await isGone(grandchild)).toBe(true);
    await child.stop({ graceMs: 5_000 });
  });
});

test('baseEnvironment lets through what children need and nothing that is a secret or changes how they load', () => {
  const allowed = { PATH: '/bin', HOME: '/h', LC_ALL: 'C', TZ: 'UTC', https_proxy: 'http://p', SSL_CERT_FILE: '/c' };
  const refused = {
    KUBIYA_API_KEY: 'k',
    KUBIYA_INSTANCE: 'i',
    OPENAI_API_KEY: 'k',
    AWS_SECRET_ACCESS_KEY: 'k',
    BUN_OPTIONS: '--x',
    NODE_OPTIONS: '--x',
    LD_PRELOAD: '/x.so',
    DYLD_INSERT_LIBRARIES: '/x',
    LC: 'C',
  };
  expect(baseEnvironment({ ...allowed, ...refused, LANG: undefined })).toEqual(allowed);
});

test('exitCodeOf speaks as a shell does', () => {
  expect(exitCodeOf({ code: 4, signal: null })).toBe(4);
  expect(exitCodeOf({ code: null, signal: 'SIGKILL' })).toBe(137);
});
