// Which process is which, with real ones.
import { afterAll, expect, test } from 'bun:test';
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createId } from '../../../src/lib/ids.ts';
import { killGroup } from '../../../src/lib/kill-group.ts';
import { isSameProcess, processesWithMarker, processStartTime, sweepByMarker } from '../../../src/lib/process-tree.ts';
import { type ChildHandle, createSpawner } from '../../../src/lib/spawn.ts';

const instanceId = createId();
const start = (id: string, script: string): Promise<ChildHandle> =>
  createSpawner({ instanceId: id, onStart: () => undefined, onEnd: () => undefined }).start({
    command: ['sh', '-c', script],
    cwd: '/',
    environment: { PATH: process.env['PATH'] ?? '' },
    stdout: 'pipe',
  });
const untilPrinted = (child: ChildHandle): Promise<unknown> =>
  new Promise((resolve) => child.stdout?.once('data', resolve));

afterAll(() => void sweepByMarker(instanceId));

test('a start time is stable, differs between processes and is null once the process is gone', async () => {
  const own = processStartTime(process.pid);
  expect(own).not.toBeNull();
  expect(processStartTime(process.pid)).toBe(own);
  const child = await start(instanceId, 'echo; sleep 300');
  const childStart = processStartTime(child.pid) ?? '';
  expect(isSameProcess(child.pid, childStart)).toBe(true);
  expect(isSameProcess(child.pid, own ?? '')).toBe(false);
  await child.stop({ graceMs: 0 });
  expect(processStartTime(child.pid)).toBeNull();
  expect(isSameProcess(child.pid, childStart)).toBe(false);
});

test('a name with spaces and parentheses does not shift the fields', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'process-tree-'));
  const program = join(directory, 'a) R 1 (b');
  copyFileSync(Bun.which('sleep') ?? '', program);
  chmodSync(program, 0o755);
  const child = await start(instanceId, `echo; exec '${program}' 300`);
  await untilPrinted(child);
  while (!readFileSync(`/proc/${child.pid}/stat`, 'utf8').includes('(a) R 1 (b)')) await Bun.sleep(5);
  expect(processStartTime(child.pid)).toMatch(/^\d{3,}@[0-9a-f-]{36}$/);
  await child.stop({ graceMs: 0 });
  rmSync(directory, { recursive: true });
});

test.each([0, -1, 1.5, Number.NaN, 2 ** 30])('%p is no process', (pid) => {
  expect(processStartTime(pid)).toBeNull();
});

test.each([0, 1, -5, 1.5, Number.NaN])('killGroup never addresses group %p', (pgid) => {
  expect(killGroup(pgid, 0)).toBe(false);
});

test('a sweep ends a family in all its sessions, and nobody of another instance', async () => {
  const id = createId();
  const other = await start(createId(), 'echo; sleep 300');
  const leader = await start(id, 'setsid sh -c "setsid sleep 300 & sleep 300" & echo; sleep 300');
  await Promise.all([untilPrinted(other), untilPrinted(leader)]);
  while (processesWithMarker(id).length < 5) await Bun.sleep(10);
  expect(sweepByMarker(id)).toBeGreaterThanOrEqual(5);
  expect(processesWithMarker(id)).toEqual([]);
  expect(processStartTime(other.pid)).not.toBeNull();
  await other.stop({ graceMs: 0 });
});

test('a sweep wins against a process that keeps forking', async () => {
  const id = createId();
  const child = await start(id, 'echo; while :; do setsid sleep 300 & sleep 0.005; done');
  await untilPrinted(child);
  await Bun.sleep(100);
  expect(sweepByMarker(id)).toBeGreaterThan(2);
  // A starved machine can hold a process between fork and exec, invisible, for longer than a sweep: the guardian comes back too.
  for (let round = 0; round < 20 && processesWithMarker(id).length > 0; round++) {
    sweepByMarker(id);
    await Bun.sleep(50);
  }
  expect(processesWithMarker(id)).toEqual([]);
});

test('an empty id matches nobody', () => {
  expect(sweepByMarker('')).toBe(0);
});
