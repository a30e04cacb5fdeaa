// Backup and restore of the embedded control plane with the built binary: what ran goes on elsewhere, and nothing bad is put in place.
// One file because its tests share a server with its history, and each restores from it.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { Database } from 'bun:sqlite';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ArchivedName, readArchive, writeArchive } from '../../src/server/archive.ts';
import { createHome, type Home, startBinary } from '../support/binary.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { runCommand, type CommandResult } from '../support/run-binary.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';
import { failureOf } from '../worker/lab.ts';

const queue = 'my-queue';
const words = ['--model', 'kubiya/offline'];
const homes: Home[] = [];
const newHome = (): Home => {
  const home = createHome();
  homes.push(home);
  return home;
};
let home: Home;
let server: LocalServer;
let worker: WorkerProcess;
let finished: string;
let waiting: string;
/** Taken while both run: `finished` has ended and `waiting` waits for a message. */
let archive: string;

const run = (at: Home, ...line: string[]): Promise<CommandResult> => runCommand(line, { home: at });
const statusIs = (one: LocalServer, id: string, status: string): Promise<void> =>
  until(async () => (await one.execution(id)).status === status, { limitMs: 20_000, what: () => `${id} is ${status}` });

beforeAll(async () => {
  home = newHome();
  server = await startLocalServer({ home });
  worker = await startWorkerProcess({ home, queue, words });
  finished = await server.execute('run `echo before`', queue);
  await server.ended(finished, 20_000);
  const body = { prompt: 'run `echo first`', worker_queue_id: queue, is_conversation: true };
  const answer = await server.request('POST', '/api/v1/agents/default/execute', body);
  waiting = (answer as { execution_id: string }).execution_id;
  await statusIs(server, waiting, 'waiting_for_input');
  archive = join(home.directory, 'backup.tar');
  const { code, stdout } = await run(home, 'server', 'backup', 'backup.tar', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ file: archive, server: 'running', bytes: statSync(archive).size });
}, 90_000);
afterAll(async () => {
  await worker.process.end('SIGTERM');
  await server.stop();
  for (const one of homes) one.remove();
}, 60_000);

describe('backup', () => {
  test('is an owner-only tar that other programs read, with databases that are whole', () => {
    expect(statSync(archive).mode & 0o777).toBe(0o600);
    const listed = spawnSync('tar', ['tf', archive], { encoding: 'utf8' });
    expect(listed.stdout.trim().split('\n')).toEqual([
      'manifest.json',
      'control-plane.db',
      'temporal.db',
      'signing-key',
      'token',
    ]);
    const directory = join(home.directory, 'unpacked');
    mkdirSync(directory);
    expect(spawnSync('tar', ['xf', archive, '-C', directory]).status).toBe(0);
    for (const name of ['control-plane.db', 'temporal.db']) {
      const database = new Database(join(directory, name), { readonly: true });
      expect(database.query('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
      database.close();
    }
  });

  test('leaves nothing beside it, in the data directory neither, and never replaces a file', async () => {
    const left = [...readdirSync(home.directory), ...readdirSync(join(home.kubiyaHome, 'local'))];
    expect(left.filter((name) => /snapshot|\.backup/.test(name))).toEqual([]);
    const before = readFileSync(archive);
    const again = await run(home, 'server', 'backup', 'backup.tar');
    expect(again.code).toBe(2);
    expect(failureOf(again).error).toContain('exists already');
    expect(readFileSync(archive).equals(before)).toBe(true);
  });

  test('that is interrupted or was killed leaves no copy of the data', async () => {
    const directory = join(home.directory, 'killed');
    mkdirSync(join(directory, '.a.tar.backup-00000000-0000-4000-8000-000000000000'), { recursive: true });
    server.process.signal('SIGSTOP');
    const backup = startBinary(['server', 'backup', join(directory, 'a.tar')], { home });
    await until(() => readdirSync(directory).some((name) => /backup-[^0]/.test(name)), { limitMs: 10_000 });
    expect((await backup.end('SIGTERM', 5_000)).code).toBe(130);
    server.process.signal('SIGCONT');
    expect(readdirSync(directory)).toEqual([]);
  }, 30_000);

  test('into a directory gets a name with the time; into none is an error that leaves nothing', async () => {
    const directory = join(home.directory, 'backups');
    mkdirSync(directory);
    expect((await run(home, 'server', 'backup', directory)).code).toBe(0);
    expect(readdirSync(directory)).toEqual([expect.stringMatching(/^kubiya-server-\d{8}-\d{6}\.tar$/)]);
    const absent = await run(home, 'server', 'backup', 'absent/backup.tar');
    expect(absent.code).toBe(6);
    expect(failureOf(absent).error).toContain('could not be written');
    expect(existsSync(join(home.directory, 'absent'))).toBe(false);
  });

  test('where no server has been is an error', async () => {
    const empty = await run(newHome(), 'server', 'backup', 'x.tar');
    expect(empty.code).toBe(6);
    expect(failureOf(empty).hint).toContain('--data-dir');
  });
});

describe('restore', () => {
  test('into another home: history is there, and an open execution goes on with a new worker', async () => {
    const other = newHome();
    const restored = await run(other, 'server', 'restore', archive, '--json');
    expect({ code: restored.code, stderr: restored.stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(restored.stdout)).toMatchObject({ kept_in: null });
    for (const name of ['control-plane.db', 'temporal.db', 'signing-key', 'token'])
      expect(statSync(join(other.kubiyaHome, 'local', name)).mode & 0o777).toBe(0o600);

    const next = await startLocalServer({ home: other });
    expect(next.token).toBe(server.token);
    expect(await next.execution(finished)).toEqual(await server.execution(finished));
    expect(await next.events(finished)).toEqual(await server.events(finished));
    expect((await next.execution(waiting)).status).toBe('waiting_for_input');
    const nextWorker = await startWorkerProcess({ home: other, queue, words });
    await next.request('POST', `/api/v1/executions/${waiting}/message`, { message: 'run `echo second`' });
    await until(async () => JSON.stringify(await next.events(waiting)).includes('second\\n'), {
      limitMs: 20_000,
      what: () => 'the second tool has run',
    });
    await statusIs(next, waiting, 'waiting_for_input');
    await next.request('POST', `/api/v1/executions/${waiting}/mark-done`, {});
    expect(await next.ended(waiting, 20_000)).toMatchObject({ status: 'completed' });
    // The one that was copied knows nothing of it.
    expect((await server.execution(waiting)).status).toBe('waiting_for_input');

    const running = await run(other, 'server', 'restore', archive, '--force');
    expect(running.code).toBe(2);
    expect(failureOf(running).hint).toContain('kubiya server stop');
    await nextWorker.process.end('SIGTERM');
    await next.stop();

    const twice = await run(other, 'server', 'restore', archive);
    expect(twice.code).toBe(2);
    expect(failureOf(twice).hint).toContain('--force');
    const forced = await run(other, 'server', 'restore', archive, '--force', '--json');
    expect(forced.code).toBe(0);
    const { kept_in: kept } = JSON.parse(forced.stdout) as { kept_in: string };
    expect(readdirSync(kept)).toEqual(expect.arrayContaining(['control-plane.db', 'temporal.db']));
    await other.waitUntilEmpty(5_000);
  }, 60_000);

  test('what the two databases do not agree on is ended with a reason', async () => {
    const late = await server.execute('run `echo late`', 'default'); // no worker takes it
    const parts = join(home.directory, 'parts');
    mkdirSync(parts);
    const later = join(home.directory, 'later.tar');
    expect((await run(home, 'server', 'backup', later)).code).toBe(0);
    const { version, created_at, schema } = readArchive(later, parts);
    // Temporal's copy of before, ours of now.
    const old = join(home.directory, 'unpacked-old');
    mkdirSync(old);
    readArchive(archive, old);
    copyFileSync(join(old, 'temporal.db'), join(parts, 'temporal.db'));
    const mixed = join(home.directory, 'mixed.tar');
    writeArchive(mixed, parts, ['control-plane.db', 'temporal.db', 'signing-key', 'token'], {
      version,
      created_at,
      schema,
    });
    const other = newHome();
    expect((await run(other, 'server', 'restore', mixed)).code).toBe(0);
    const next = await startLocalServer({ home: other });
    expect(await next.ended(late, 20_000)).toMatchObject({
      status: 'failed',
      error_message: expect.stringContaining('does not know this execution'),
    });
    expect((await next.execution(waiting)).status).toBe('waiting_for_input');
    await next.stop();
  }, 60_000);

  test('a backup that is damaged, cut off, foreign or newer changes nothing', async () => {
    const other = newHome();
    const bytes = readFileSync(archive);
    const broken = (name: string, change: (copy: Buffer) => Buffer): string => {
      const path = join(home.directory, name);
      writeFileSync(path, change(Buffer.from(bytes)));
      return path;
    };
    const parts = join(home.directory, 'newer-parts');
    mkdirSync(parts);
    const { version, created_at } = readArchive(archive, parts);
    const database = new Database(join(parts, 'control-plane.db'));
    database.run('PRAGMA user_version = 999');
    database.close();
    const newer = join(home.directory, 'newer.tar');
    writeArchive(newer, parts, ['control-plane.db'], { version, created_at, schema: 999 });
    const packed = (name: string, names: readonly ArchivedName[], content: string, schema = 0): string => {
      const directory = join(home.directory, `${name}-parts`);
      mkdirSync(directory);
      for (const one of names) writeFileSync(join(directory, one), content);
      const path = join(home.directory, `${name}.tar`);
      writeArchive(path, directory, names, { version, created_at, schema });
      return path;
    };
    const cases: [string, string][] = [
      [packed('keys', ['token'], 'x'), 'control-plane.db'],
      [packed('no-database', ['control-plane.db'], 'hello'.repeat(1_000)), 'not a database'],
      [packed('other-schema', ['control-plane.db'], '', 1), 'another version'],
      [packed('bad-temporal', ['temporal.db'], 'hello'.repeat(1_000)), 'control-plane.db'],
      [broken('flipped.tar', (copy) => copy.fill(0x41, copy.length / 2, copy.length / 2 + 1)), 'digest'],
      [broken('cut.tar', (copy) => copy.subarray(0, copy.length / 2)), 'ends too early'],
      [broken('header.tar', (copy) => copy.fill('x', 0, 4)), 'ends too early'],
      [
        broken('format.tar', (copy) =>
          Buffer.from(copy.toString('latin1').replace('"format": 1', '"format": 9'), 'latin1'),
        ),
        'manifest',
      ],
      [broken('text.tar', () => Buffer.from('hello')), 'ends too early'],
      [broken('empty.tar', () => Buffer.alloc(0)), 'ends too early'],
      [newer, 'does not know'],
      [join(home.directory, 'absent.tar'), 'cannot be read'],
      [home.directory, 'not a file'],
    ];
    for (const [path, reason] of cases) {
      const result = await run(other, 'server', 'restore', path);
      expect({ path, code: result.code }).toEqual({ path, code: 6 });
      expect(failureOf(result).error).toContain(reason);
    }
    expect(readdirSync(join(other.kubiyaHome, 'local')).filter((name) => !name.startsWith('server.lock'))).toEqual([]);
  }, 60_000);
});

test('a server that was killed is backed up as it was, and status says what it holds', async () => {
  const other = newHome();
  const next = await startLocalServer({ home: other });
  const id = await next.execute('run `echo x`', 'default');
  const status = await run(other, 'server', 'status', '--json');
  expect(JSON.parse(status.stdout)).toMatchObject({
    state: 'running',
    url: next.url,
    open_executions: 1,
    stuck_executions: 0,
    live_workers: 0,
    databases: [
      { name: 'control-plane', bytes: expect.any(Number) },
      { name: 'temporal', bytes: expect.any(Number) },
    ],
  });
  await next.process.end('SIGKILL');
  await other.waitUntilEmpty(10_000);
  const backup = await run(other, 'server', 'backup', 'after.tar', '--json');
  expect({ code: backup.code, stderr: backup.stderr }).toEqual({ code: 0, stderr: '' });
  expect(JSON.parse(backup.stdout)).toMatchObject({ server: 'stopped' });
  const third = newHome();
  expect((await run(third, 'server', 'restore', join(other.directory, 'after.tar'))).code).toBe(0);
  const restored = await startLocalServer({ home: third });
  expect(await restored.execution(id)).toMatchObject({ id, status: 'pending' });
  await restored.stop();
}, 60_000);
