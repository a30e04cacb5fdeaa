// What goes and what stays, with real files, a real control plane's answers and a clock that the test moves.
import { afterEach, describe, expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createControlPlaneClient } from '../../../src/controlplane/client.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { createWorkBudget, emptyTrash, measureTree, moveToTrash } from '../../../src/lib/disk-tree.ts';
import { chooseExpired, diskWarning, retain, type KeptTree } from '../../../src/processes/retention.ts';
import type { Execution } from '../../../src/protocol/control-plane.ts';
import { ownIdentity, writeInstance } from '../../../src/supervisor/instance.ts';
import { createRecordingLog } from '../../server/support.ts';

const dayMs = 86_400_000;
const never = new AbortController().signal;
const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) {
    spawnSync('chmod', ['-R', 'u+rwx', directory]);
    rmSync(directory, { recursive: true, force: true });
  }
});
const temporary = (): string => {
  const directory = mkdtempSync(join(tmpdir(), 'kubiya-retention-'));
  directories.push(directory);
  return directory;
};
const budgetOf = (entriesMax = 1_000_000) =>
  createWorkBudget({ entriesMax, restMs: 0, clock: systemClock, signal: never });

describe('what is chosen', () => {
  const limits = { ageMsMax: 30 * dayMs, workspacesBytesMax: 100 };
  const now = 1_000 * dayMs;
  const tree = (path: string, bytes: number, ageMs: number): KeptTree => ({ path, bytes, changedAtMs: now - ageMs });
  const choose = async (trees: readonly KeptTree[], open: readonly string[] = []): Promise<string[]> =>
    (await chooseExpired(trees, limits, now, ({ path }) => Promise.resolve(!open.includes(path)))).map(
      ({ path }) => path,
    );

  test('by age, and then the oldest until the rest fits', async () => {
    expect(await choose([tree('new', 90, dayMs), tree('old', 1, 31 * dayMs), tree('month', 1, 30 * dayMs)])).toEqual([
      'old',
    ]);
    expect(await choose([tree('a', 60, dayMs), tree('b', 60, 3 * dayMs), tree('c', 60, 2 * dayMs)])).toEqual([
      'b',
      'c',
    ]);
    expect(await choose([])).toEqual([]);
  });

  test('nothing that changed within the hour, whatever its size, and nothing that is open', async () => {
    expect(await choose([tree('huge', 10_000, 59 * 60_000)])).toEqual([]);
    expect(await choose([tree('open', 10_000, 90 * dayMs), tree('b', 10, 2 * dayMs)], ['open'])).toEqual(['b']);
  });
});

describe('trees of a hostile tool', () => {
  test('links lead nowhere, names are bytes, closed directories open, depth has no limit, and others keep their files', async () => {
    const root = temporary();
    const outside = join(root, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'precious'), 'x'.repeat(100_000));
    const victim = join(root, 'victim');
    mkdirSync(join(victim, 'closed/inner'), { recursive: true });
    writeFileSync(join(victim, 'closed/inner/file'), 'x');
    symlinkSync(outside, join(victim, 'link'));
    // Never to a directory of the machine: root would empty it where a link is followed.
    symlinkSync(outside, join(victim, 'closed/root'));
    symlinkSync('..', join(victim, 'loop'));
    linkSync(join(outside, 'precious'), join(victim, 'hard-link'));
    writeFileSync(join(victim, 'a\nb\u001b[31m'), 'x');
    writeFileSync(Buffer.concat([Buffer.from(`${victim}/`), Buffer.from([0xff, 0xfe])]), 'x');
    // Deeper than a path can be long.
    const deep = `cd ${victim} && for i in $(seq 60); do mkdir ${'d'.repeat(200)} && cd -P ./${'d'.repeat(200)} || exit 1; done; touch end`;
    expect(spawnSync('bash', ['-c', deep]).status).toBe(0);
    chmodSync(join(victim, 'closed/inner'), 0);
    chmodSync(join(victim, 'closed'), 0);
    chmodSync(victim, 0);

    const trash = join(root, 'trash');
    expect(moveToTrash(victim, trash)).toBe(true);
    expect(existsSync(victim)).toBe(false);
    await emptyTrash(trash, budgetOf());
    expect(readdirSync(trash)).toEqual([]);
    expect(lstatSync(join(outside, 'precious')).size).toBe(100_000);
    expect(moveToTrash(join(root, 'absent'), trash)).toBe(false);
  });

  test('a trash that is a link to somewhere else is neither filled nor emptied', async () => {
    const root = temporary();
    const outside = join(root, 'outside');
    mkdirSync(join(outside, 'precious'), { recursive: true });
    mkdirSync(join(root, 'victim'));
    symlinkSync(outside, join(root, 'trash'));
    expect(moveToTrash(join(root, 'victim'), join(root, 'trash'))).toBe(false);
    expect(await emptyTrash(join(root, 'trash'), budgetOf())).toBe(0);
    expect(readdirSync(outside)).toEqual(['precious']);
    expect(existsSync(join(root, 'victim'))).toBe(true);
  });

  test('sizes are those of the disk, without what is linked, and a time that was set does not count', async () => {
    const root = temporary();
    writeFileSync(join(root, 'file'), Buffer.alloc(1_000_000));
    symlinkSync('/usr', join(root, 'link'));
    utimesSync(join(root, 'file'), new Date('2099-01-01'), new Date('2099-01-01'));
    const { bytes, changedAtMs } = await measureTree(root, budgetOf());
    expect(bytes).toBeGreaterThanOrEqual(1_000_000);
    expect(bytes).toBeLessThan(1_200_000);
    expect(Math.abs(changedAtMs - Date.now())).toBeLessThan(60_000);
    expect(await measureTree(join(root, 'absent'), budgetOf())).toEqual({ bytes: 0, changedAtMs: 0 });
  });

  test('a budget ends the work, and the next round goes on', async () => {
    const root = temporary();
    const trash = join(root, 'trash');
    mkdirSync(join(root, 'many/inner'), { recursive: true });
    for (let index = 0; index < 100; index += 1) writeFileSync(join(root, 'many/inner', String(index)), 'x');
    moveToTrash(join(root, 'many'), trash);
    await emptyTrash(trash, budgetOf(50));
    expect(readdirSync(trash).length).toBeGreaterThan(0);
    for (let round = 0; round < 5; round += 1) await emptyTrash(trash, budgetOf(50));
    expect(readdirSync(trash)).toEqual([]);
  });
});

describe('a round', () => {
  const id = (digit: number): string => `00000000-0000-4000-8000-00000000000${digit}`;
  const [ended, open, unknown, failing] = [id(1), id(2), id(3), id(4)];

  test('removes workspaces of ended executions, leftovers and old files, and keeps the rest', async () => {
    const answer = (execution: string): Response => {
      if (execution === unknown) return Response.json({ detail: 'no', code: 'execution_not_found' }, { status: 404 });
      if (execution === failing) return Response.json({ detail: 'no' }, { status: 500 });
      const status = execution === open ? 'paused' : 'COMPLETED';
      return Response.json({ id: execution, status, created_at: '2026-01-01T00:00:00Z' });
    };
    const server = Bun.serve({
      port: 0,
      fetch: (request) => answer(new URL(request.url).pathname.split('/').at(-1) ?? ''),
    });
    const home = temporary();
    const workersDirectory = join(home, 'workers');
    const url = `http://127.0.0.1:${server.port}`;
    const client = createControlPlaneClient({ url, token: 'x' });
    const queue = (name: string, controlPlane: string, stoppedAt: string | null): string => {
      const directory = join(workersDirectory, name);
      for (const execution of [ended, open, unknown, failing, 'notes']) {
        mkdirSync(join(directory, 'workspace', execution), { recursive: true });
        writeFileSync(join(directory, 'workspace', execution, 'file'), 'x');
      }
      mkdirSync(join(directory, 'logs'));
      writeFileSync(join(directory, 'logs/worker.log'), 'kept');
      const times = { started_at: new Date(0).toISOString(), stopped_at: stoppedAt, stop_reason: null };
      const names = { queue: name, queue_id: name, worker_id: null, directory, log_file: '', version: '0' };
      const where = { control_plane_url: controlPlane, web_url: null, ports: {} };
      writeInstance(directory, {
        ...ownIdentity(),
        ...names,
        ...where,
        ...times,
        instance_id: 'i',
        mode: 'foreground',
      });
      return directory;
    };
    const stoppedAt = new Date(0).toISOString();
    const own = queue('own', url, null);
    const stopped = queue('stopped', url, stoppedAt);
    const running = queue('running', url, null);
    const elsewhere = queue('elsewhere', 'http://other.test', stoppedAt);
    queue('local-exec-20260101-000000-abcd', url, stoppedAt);
    const linked = queue('linked', url, stoppedAt);
    rmSync(join(linked, 'workspace'), { recursive: true });
    symlinkSync(join(elsewhere, 'workspace'), join(linked, 'workspace'));
    mkdirSync(join(home, 'plans'));
    mkdirSync(join(own, 'journal'));
    const month = new Date(Date.now() - 40 * dayMs);
    for (const path of [join(home, 'plans/old.json'), join(own, 'journal/old.outbox'), join(own, 'journal/identity')]) {
      writeFileSync(path, '{}');
      utimesSync(path, month, month);
    }
    writeFileSync(join(home, 'plans/new.json'), '{}');

    const { log, entries } = createRecordingLog();
    // Files cannot be made old, so it is later: what is old by its own time is so at once.
    const clock = { ...systemClock, now: () => Date.now() + 31 * dayMs };
    utimesSync(join(home, 'plans/new.json'), new Date(clock.now()), new Date(clock.now()));
    const limits = { ageMsMax: 30 * dayMs, workspacesBytesMax: 10 ** 12 };
    const parts = { limits, home, workersDirectory, ownDirectory: own, client, log, clock };
    try {
      await retain(parts, never);
      for (const directory of [own, stopped])
        expect(readdirSync(join(directory, 'workspace')).toSorted()).toEqual([open, failing, 'notes']);
      for (const directory of [running, elsewhere]) expect(readdirSync(join(directory, 'workspace'))).toHaveLength(5);
      expect(readdirSync(workersDirectory).toSorted()).toEqual(
        ['.trash', 'elsewhere', 'linked', 'own', 'running', 'stopped'].toSorted(),
      );
      expect(readdirSync(join(workersDirectory, '.trash'))).toEqual([]);
      expect(existsSync(join(stopped, 'logs/worker.log'))).toBe(true);
      expect(readdirSync(join(home, 'plans'))).toEqual(['new.json']);
      expect(readdirSync(join(own, 'journal'))).toEqual(['identity']);
      expect(entries).toMatchObject([{ level: 'info', fields: { workspaces: 4, leftovers: 1, files: 2 } }]);
      expect(Number(entries[0]?.fields['bytes'])).toBeGreaterThan(0);
      await retain(parts, never);
      expect(entries).toHaveLength(1);
    } finally {
      await server.stop(true);
    }
  });
});

test('what was chosen goes although there is more to look at than a round may', async () => {
  const home = temporary();
  const workersDirectory = join(home, 'workers');
  const own = join(workersDirectory, 'own');
  const workspace = (digit: number): string => join(own, 'workspace', `00000000-0000-4000-8000-00000000000${digit}`);
  for (const digit of [1, 2, 3]) {
    mkdirSync(workspace(digit), { recursive: true });
    for (const name of ['a', 'b', 'c', 'd']) writeFileSync(join(workspace(digit), name), 'x');
  }
  const { log } = createRecordingLog();
  const clock = { ...systemClock, now: () => Date.now() + 31 * dayMs };
  const client = { url: 'x', getExecution: () => Promise.resolve({ status: 'completed' } as Execution) };
  const limits = { ageMsMax: 30 * dayMs, workspacesBytesMax: 10 ** 12 };
  const parts = { limits, home, workersDirectory, ownDirectory: own, client, log, clock };
  await retain({ ...parts, entriesMax: 10 }, never);
  expect(readdirSync(join(own, 'workspace'))).toHaveLength(1);
  expect(readdirSync(join(workersDirectory, '.trash')).length).toBeLessThan(2);
});

test('a disk with room is no warning, and one that is nearly full says how much is left', () => {
  const gib = 1024 ** 3;
  const warning = (freeBytes: number, totalBytes: number) => diskWarning('/data', { freeBytes, totalBytes });
  expect(warning(2 * gib, 20 * gib)).toBeUndefined();
  expect(warning(gib / 2, 20 * gib)).toBe('the disk of /data is nearly full: 512 MiB are free');
  expect(warning(2 * gib, 100 * gib)).toContain('2048 MiB');
  expect(warning(11 * gib, 4_000 * gib)).toBeUndefined();
  expect(warning(0, 0)).toBeUndefined();
});
