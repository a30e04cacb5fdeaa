// Instance records on disk, and the end of what a dead instance left.
import { afterAll, beforeEach, expect, test } from 'bun:test';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createId } from '../../../src/lib/ids.ts';
import { processesWithMarker, processStartTime, sweepByMarker } from '../../../src/lib/process-tree.ts';
import { type ChildHandle, createSpawner } from '../../../src/lib/spawn.ts';
import type { InstanceRecord } from '../../../src/protocol/instance.ts';
import {
  createGroupRecord,
  isAlive,
  markStopped,
  ownIdentity,
  readInstance,
  sweepDeadInstances,
  writeInstance,
} from '../../../src/supervisor/instance.ts';

const root = mkdtempSync(join(tmpdir(), 'instance-'));
const testId = createId();
let workers = '';
let directory = '';
beforeEach(() => {
  workers = mkdtempSync(join(root, 'workers-'));
  directory = join(workers, 'queue');
  mkdirSync(directory);
});
afterAll(() => {
  sweepByMarker(testId);
  rmSync(root, { recursive: true });
});

const recordOf = (changes: Partial<InstanceRecord> = {}): InstanceRecord => ({
  instance_id: createId(),
  ...ownIdentity(),
  version: '1.2.3',
  mode: 'foreground',
  queue: 'my-queue',
  queue_id: 'q-1',
  worker_id: 'w-1',
  directory,
  log_file: join(directory, 'logs/worker.log'),
  control_plane_url: 'http://127.0.0.1:8080',
  web_url: null,
  ports: { web: 8081, metrics: 9090 },
  started_at: '2026-11-24T10:00:00.000Z',
  stopped_at: null,
  stop_reason: null,
  ...changes,
});

/** A process that has been and gone, with its identity. */
async function deadIdentity(): Promise<Pick<InstanceRecord, 'pid' | 'start_time'>> {
  const child = await start(testId, 'sleep 300');
  const identity = { pid: child.pid, start_time: processStartTime(child.pid) ?? '' };
  await child.stop({ graceMs: 0 });
  return identity;
}

const start = (
  instanceId: string,
  script: string,
  scope = createGroupRecord(join(root, 'nowhere')),
): Promise<ChildHandle> =>
  createSpawner({ instanceId, ...scope }).start({
    command: ['sh', '-c', script],
    cwd: '/',
    environment: { PATH: process.env['PATH'] ?? '' },
  });

test('is written for programs and for people, and read back', () => {
  const record = recordOf();
  writeInstance(directory, record);
  expect(readInstance(directory)).toEqual(record);
  expect(JSON.parse(readFileSync(join(directory, 'worker.pid'), 'utf8'))).toEqual(record);
  const text = readFileSync(join(directory, 'daemon_info.txt'), 'utf8');
  expect(text.replaceAll(directory, '<dir>').replaceAll(String(process.pid), '<pid>')).toMatchInlineSnapshot(`
    "Kubiya worker is running

    queue:          my-queue (q-1)
    worker:         w-1
    pid:            <pid>
    mode:           foreground
    version:        1.2.3
    started at:     2026-11-24T10:00:00.000Z
    control plane:  http://127.0.0.1:8080
    directory:      <dir>
    log file:       <dir>/logs/worker.log
    ports:          web 8081, metrics 9090
    follow the log: tail -F <dir>/logs/worker.log
    see how it is:  kubiya worker status --queue-id my-queue
    stop it:        kubiya worker stop --queue-id my-queue
    "
  `);
  for (const name of ['daemon_info.json', 'worker.pid', 'daemon_info.txt']) {
    expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
  }
  expect(isAlive(record)).toBe(true);
});

test('after a stop it says so, and worker.pid is gone', () => {
  const record = recordOf();
  writeInstance(directory, record);
  markStopped(directory, record, 'SIGTERM');
  const stopped = readInstance(directory);
  expect(stopped).toMatchObject({ instance_id: record.instance_id, stop_reason: 'SIGTERM' });
  expect(Math.abs(Date.parse(stopped?.stopped_at ?? '') - Date.now())).toBeLessThan(5_000);
  expect(existsSync(join(directory, 'worker.pid'))).toBe(false);
  expect(readFileSync(join(directory, 'daemon_info.txt'), 'utf8')).toMatch(/^stopped at: +\d{4}-.* \(SIGTERM\)$/m);
  expect(stopped && isAlive(stopped)).toBe(false);
});

test.each([
  '',
  '{',
  '[]',
  'null',
  '{"pid":1}',
  JSON.stringify({ ...recordOf(), pid: 'x' }),
  JSON.stringify({ ...recordOf(), instance_id: '' }),
])('what is no record is none: %p', (content) => {
  writeFileSync(join(directory, 'daemon_info.json'), content);
  expect(readInstance(directory)).toBeNull();
  expect(sweepDeadInstances(workers)).toEqual([]);
});

test('a pid that now belongs to another process is not alive', () => {
  expect(isAlive(recordOf({ start_time: 'earlier' }))).toBe(false);
  expect(isAlive(recordOf({ pid: 2 ** 22 + 1 }))).toBe(false);
});

test('a sweep ends everything of dead instances and nothing else', async () => {
  const dead = recordOf(await deadIdentity());
  writeInstance(directory, dead);
  const alive = recordOf();
  mkdirSync(join(workers, 'live'));
  writeInstance(join(workers, 'live'), alive);
  mkdirSync(join(workers, 'no-queue'));
  writeFileSync(join(workers, 'file'), '');

  const marked = await start(dead.instance_id, 'setsid sleep 300 & sleep 300');
  // Without our marker, but in a group that was recorded; and one whose record names an earlier process.
  const groups = createGroupRecord(directory);
  const recorded = await start(testId, 'exec sleep 300', groups);
  const ended = await start(testId, 'exec sleep 300', groups);
  groups.onEnd(ended.pid);
  const reused = await start(testId, 'exec sleep 300');
  writeFileSync(join(directory, 'groups'), `start ${reused.pid} 1@earlier\ngarbage\nstart x y\nsta`, { flag: 'a' });
  const other = await start(alive.instance_id, 'exec sleep 300');

  const swept = sweepDeadInstances(workers);
  expect(swept.map((record) => record.instance_id)).toEqual([dead.instance_id]);
  expect((await marked.exited).signal).toBe('SIGKILL');
  expect((await recorded.exited).signal).toBe('SIGKILL');
  expect(processesWithMarker(dead.instance_id)).toEqual([]);
  for (const child of [ended, reused, other]) {
    expect(processStartTime(child.pid)).not.toBeNull();
    await child.stop({ graceMs: 0 });
  }
  expect(readInstance(directory)).toMatchObject({ stop_reason: 'vanished' });
  expect(readInstance(join(workers, 'live'))).toEqual(alive);
  expect(sweepDeadInstances(workers)).toEqual([]);
});

test('a record from another pid namespace is neither alive nor swept', async () => {
  const record = recordOf({ ...(await deadIdentity()), pid_namespace: 'pid:[1]' });
  writeInstance(directory, record);
  const child = await start(record.instance_id, 'exec sleep 300');
  expect(sweepDeadInstances(workers)).toEqual([]);
  expect(isAlive(record)).toBe(false);
  expect(processStartTime(child.pid)).not.toBeNull();
  await child.stop({ graceMs: 0 });
});

test('a directory of workers that is not there has none', () => {
  expect(sweepDeadInstances(join(root, 'missing'))).toEqual([]);
});

test('the record of groups stays small and never fails', () => {
  const groups = createGroupRecord(directory);
  for (let count = 0; count < 3_000; count += 1) {
    groups.onStart(process.pid);
    groups.onEnd(process.pid);
  }
  expect(statSync(join(directory, 'groups')).size).toBeLessThan(70_000);
  const unwritable = createGroupRecord(join(root, 'missing'));
  unwritable.onStart(process.pid);
  unwritable.onEnd(process.pid);
});
