// `worker status`, `list` and `clean` as real processes on homes that hold records, strangers' directories and running owners.
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InstanceRecord } from '../../src/protocol/instance.ts';
import { ownIdentity, writeInstance } from '../../src/supervisor/instance.ts';
import { acquireLock } from '../../src/supervisor/lock.ts';
import { defaultQueue } from '../support/scripted-control-plane.ts';
import { against, type CliResult, runCli } from './run-cli.ts';
import { start } from './scripted-exec.ts';

let home = '';
beforeEach(() => (home = mkdtempSync(join(tmpdir(), 'kubiya-files-'))));
afterEach(() => rmSync(home, { recursive: true }));

const run = (words: string[], environment: Record<string, string> = {}): Promise<CliResult> =>
  runCli(['worker', ...words], { environment: { KUBIYA_HOME: home, ...environment } });

/** A worker that has stopped, with a file in every place; by default nothing runs. */
function place(queue: string, changes: Partial<InstanceRecord> = {}): string {
  const directory = join(home, 'workers', queue);
  for (const name of ['logs', 'venv/bin', 'workspace/e-1', 'journal'])
    mkdirSync(join(directory, name), { recursive: true });
  for (const name of [
    'logs/worker.log',
    'logs/worker.log.1',
    'venv/bin/pip',
    'workspace/e-1/made',
    'journal/e-1.jsonl',
  ])
    writeFileSync(join(directory, name), 'x'.repeat(1000));
  writeInstance(directory, {
    instance_id: 'i',
    ...ownIdentity(),
    version: '0.1.0',
    mode: 'foreground',
    queue,
    queue_id: `id-of-${queue}`,
    worker_id: 'w',
    directory,
    log_file: join(directory, 'logs/worker.log'),
    control_plane_url: 'http://127.0.0.1:1',
    web_url: null,
    ports: {},
    started_at: '2026-11-24T10:00:00.000Z',
    stopped_at: '2026-11-24T11:00:00.000Z',
    stop_reason: 'stopped',
    ...changes,
  });
  return directory;
}

const has = (directory: string, ...names: string[]): boolean[] =>
  names.map((name) => existsSync(join(directory, name)));

describe('status', () => {
  test('of none is 1, of one of several 2, of one that is stopped 1', async () => {
    expect(await run(['status'])).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('no worker') });
    const json = await run(['status', '--json']);
    expect(json).toMatchObject({ code: 1, stdout: '' });
    expect(JSON.parse(json.stderr)).toMatchObject({ code: 'worker_not_found' });
    place('one');
    expect(await run(['status'])).toMatchObject({
      code: 1,
      stderr: '',
      stdout: expect.stringMatching(/^state +stopped/m),
    });
    place('two');
    expect(await run(['status'])).toMatchObject({ code: 2, stderr: expect.stringContaining('one, two') });
    const byId = await run(['status', '--queue-id', 'id-of-two', '--json']);
    expect(byId.code).toBe(1);
    expect(JSON.parse(byId.stdout)).toMatchObject({ queue: 'two', state: 'stopped', log_bytes: 2000 });
    const byVariable = await run(['status', '--json'], { QUEUE_ID: 'one' });
    expect(JSON.parse(byVariable.stdout)).toMatchObject({ queue: 'one' });
    expect(await run(['status', '--queue-id', 'three'])).toMatchObject({ code: 1 });
    expect(await run(['status', '--nonsense'])).toMatchObject({ code: 2 });
  });

  test('a setting of the worker that is wrong does not hide its state', async () => {
    place('one');
    expect(await run(['status'], { HEARTBEAT_INTERVAL: '1', LOG_LEVEL: 'loud' })).toMatchObject({
      code: 1,
      stderr: '',
    });
  });
});

describe('list', () => {
  test('only what has a record of ours and is no part of an exec --local', async () => {
    expect(await run(['list'])).toEqual({ code: 0, stdout: '', stderr: 'no worker has run on this machine\n' });
    expect(await run(['list', '--json'])).toMatchObject({ code: 0, stdout: '[]\n' });
    place('mine');
    const stranger = join(home, 'workers', 'stranger');
    mkdirSync(stranger, { recursive: true });
    writeFileSync(join(stranger, 'daemon_info.json'), '{"pid": 1}');
    place('local-exec-of-a-command', { stopped_at: null });
    const { stdout } = await run(['list', '--json']);
    expect((JSON.parse(stdout) as { queue: string }[]).map(({ queue }) => queue)).toEqual(['mine']);
    expect((await run(['status', '--json'])).stdout).toContain('"queue":"mine"');
  });

  test('--remote asks the control plane', async () => {
    const worker = {
      id: 'r',
      worker_id: 'w-1',
      status: 'active',
      system_info: { hostname: 'there', sdk_version: '9.9.9' },
    };
    const plane = await start({
      override: ({ path }) => (path.endsWith('/workers') ? { status: 200, body: [worker] } : undefined),
    });
    const table = await run(['list', '--remote'], against(plane));
    expect(table).toEqual({
      code: 0,
      stderr: '',
      stdout: `queue ${defaultQueue.name} (${defaultQueue.id})\nID   HOST   STATUS  HEARTBEAT  VERSION\nw-1  there  active  -          9.9.9\n`,
    });
    const json = await run(['list', '--remote', '--queue-id', defaultQueue.name, '--json'], against(plane));
    expect(JSON.parse(json.stdout)).toMatchObject([{ queue_id: defaultQueue.id, worker_id: 'w-1' }]);
    expect(await run(['list', '--remote', '--queue-id', 'nobody'], against(plane))).toMatchObject({ code: 4 });
    expect(await run(['list', '--queue-id', 'mine'])).toMatchObject({ code: 2 });
  });
});

describe('clean', () => {
  test('without flags it says what there is and removes nothing', async () => {
    const directory = place('q');
    const { code, stdout } = await run(['clean']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^venv +1 kB +--venv$/m);
    expect(stdout).toMatch(/^logs +2 kB +--logs$/m);
    expect(has(directory, 'venv', 'logs/worker.log.1', 'workspace/e-1')).toEqual([true, true, true]);
  });

  test('nobody to ask and no --yes is 2 and removes nothing', async () => {
    const directory = place('q');
    expect(await run(['clean', '--all'])).toMatchObject({ code: 2, stderr: expect.stringContaining('add --yes') });
    expect(has(directory, 'venv', 'journal')).toEqual([true, true]);
  });

  test('removes what is named, says what was freed, and is content with nothing', async () => {
    const directory = place('q');
    expect(await run(['clean', '--venv', '--yes'])).toEqual({ code: 0, stdout: '', stderr: 'freed 1 kB (venv)\n' });
    expect(await run(['clean', '--venv', '--yes'])).toEqual({
      code: 0,
      stdout: '',
      stderr: 'there is nothing to remove\n',
    });
    const json = await run(['clean', '--logs', '--yes', '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({ directory, freed_bytes: 2000, removed: [{ part: 'logs' }] });
    expect(has(directory, 'venv', 'logs/worker.log', 'workspace/e-1', 'journal')).toEqual([false, false, true, true]);
    expect(await run(['clean', '--all', '--yes'])).toMatchObject({ code: 0 });
    expect(existsSync(directory)).toBe(false);
    expect(await run(['clean', '--all', '--yes'])).toMatchObject({ code: 4 });
  });

  test('--older-than spares what has changed since', async () => {
    const directory = place('q');
    const longAgo = new Date(Date.now() - 8 * 86_400_000);
    for (const name of ['logs/worker.log.1', 'workspace/e-1/made', 'workspace/e-1'])
      utimesSync(join(directory, name), longAgo, longAgo);
    mkdirSync(join(directory, 'workspace/e-2'));
    expect(await run(['clean', '--older-than', '7d', '--yes'])).toMatchObject({
      code: 0,
      stderr: 'freed 2 kB (logs, workspaces)\n',
    });
    expect(has(directory, 'logs/worker.log.1', 'workspace/e-1')).toEqual([false, false]);
    expect(has(directory, 'logs/worker.log', 'workspace/e-2', 'venv')).toEqual([true, true, true]);
    expect(await run(['clean', '--all', '--older-than', '7d', '--yes'])).toMatchObject({
      stderr: 'there is nothing to remove\n',
    });
    expect(await run(['clean', '--older-than', 'week'])).toMatchObject({ code: 2 });
  });

  test('refuses while it runs, also while it only starts, and leaves the locks free', async () => {
    const directory = place('q', { stopped_at: null });
    expect(await run(['clean', '--all', '--yes'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`is running (pid ${process.pid})`),
    });
    place('q');
    mkdirSync(join(home, 'locks'));
    for (const name of ['name-q.lock', 'id-of-q.lock']) {
      const held = acquireLock(join(home, 'locks', name), { instanceId: 'starting' });
      if (held.kind !== 'acquired') throw new Error(`${name} was not released`);
      expect(await run(['clean', '--venv', '--yes'])).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('is running'),
      });
      held.lock.release();
    }
    expect(has(directory, 'venv')).toEqual([true]);
  });

  test('touches nothing without a record, and follows no link', async () => {
    const outside = mkdtempSync(join(tmpdir(), 'kubiya-outside-'));
    writeFileSync(join(outside, 'precious'), 'x');
    mkdirSync(join(home, 'workers', 'stranger', 'venv'), { recursive: true });
    expect(await run(['clean', '--queue-id', 'stranger', '--all', '--yes'])).toMatchObject({ code: 4 });
    const directory = place('q');
    rmSync(join(directory, 'venv'), { recursive: true });
    symlinkSync(outside, join(directory, 'venv'));
    expect(await run(['clean', '--queue-id', 'q', '--all', '--yes'])).toMatchObject({ code: 0 });
    expect([existsSync(join(outside, 'precious')), existsSync(join(home, 'workers/stranger/venv'))]).toEqual([
      true,
      true,
    ]);
    rmSync(outside, { recursive: true });
  });
});
