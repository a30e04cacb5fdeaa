// What is on disk: nothing acknowledged is lost by kill -9, a full disk is a clear answer, a bad file a clear error.
import { Database } from 'bun:sqlite';
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WireEvent } from '../../src/protocol/events.ts';
import type { DevServer } from '../../src/server/dev-server.ts';
import { createEventLog } from '../../src/server/events.ts';
import { migrations } from '../../src/server/store/migrations.ts';
import { openStore } from '../../src/server/store/store.ts';
import {
  absentTemporal,
  callerOf,
  createTestSpawner,
  failureOf,
  startTestServer,
  startTestTemporal,
} from './support.ts';
import { systemClock } from '../../src/lib/clock.ts';

const directory = mkdtempSync(join(tmpdir(), 'kubiya-storage-'));
const pathOf = (name: string): string => join(directory, name);
const event = (id: string, size = 0): WireEvent => ({
  event_id: id,
  event_type: 'notice',
  data: { text: 'x'.repeat(size) },
  timestamp: '2026-01-01T00:00:00Z',
});
let devServer: DevServer;

beforeAll(async () => {
  devServer = await startTestTemporal();
}, 60_000);
afterAll(async () => {
  await devServer.stop();
  rmSync(directory, { recursive: true, force: true });
});

describe('kill -9', () => {
  test('no event and no execution that was acknowledged is lost, and the numbers have no gap', async () => {
    const databasePath = pathOf('killed.sqlite');
    const { spawner } = createTestSpawner();
    let previous = 0;
    for (let round = 0; round < 3; round += 1) {
      const fixture = join(import.meta.dir, '..', 'fixtures', 'server', 'event-writer.ts');
      const child = await spawner.start({
        command: [process.execPath, fixture, databasePath, devServer.address],
        cwd: directory,
        environment: { PATH: '/usr/bin:/bin', HOME: directory },
        stdout: 'pipe',
      });
      const url = await new Promise<string>((resolve) =>
        child.stdout?.once('data', (data: Buffer) => resolve(data.toString().trim())),
      );
      const call = callerOf(url);
      const key = { 'idempotency-key': 'one' };
      const started = await call('POST', '/api/v1/agents/default/execute', { prompt: 'x' }, key);
      const id = String(started.body['execution_id']);
      let acknowledged = 0;
      const writers = Array.from({ length: 8 }, async (_unused, writer) => {
        for (let index = 0; ; index += 1) {
          const events = [event(`${round}:${writer}:${index}`), event(`${round}:${writer}:${index}:b`)];
          const { status } = await call('POST', `/api/v1/executions/${id}/events/batch`, { events });
          if (status !== 202) throw new Error(`status ${status}`);
          acknowledged += events.length;
        }
      });
      setTimeout(() => child.signalGroup('SIGKILL'), 300 + round * 137);
      await Promise.allSettled(writers);
      await child.exited;
      expect(acknowledged).toBeGreaterThan(50);

      const database = new Database(databasePath);
      expect(database.query<{ quick_check: string }, []>('PRAGMA quick_check').get()?.quick_check).toBe('ok');
      const counted = database.query<{ count: number; last: number; rows: number }, []>(
        'SELECT count(*) AS count, max(sequence) AS last, (SELECT count(*) FROM executions) AS rows FROM events',
      );
      const { count = 0, last, rows } = counted.get() ?? {};
      database.close();
      expect(rows).toBe(1);
      expect(count).toBe(last ?? -1);
      expect(count - previous).toBeGreaterThanOrEqual(acknowledged);
      previous = count;
    }
  }, 60_000);
});

describe('full disk', () => {
  test('is 507 with a sentence, loses nothing that was acknowledged, and is over when there is space again', async () => {
    const mount = pathOf('small');
    mkdirSync(mount);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', mount]);
    // A machine where this cannot be tried must say so: a skipped test looks like a passed one.
    expect({ canMountTmpfs: mounted.status, stderr: String(mounted.stderr) }).toEqual({ canMountTmpfs: 0, stderr: '' });
    try {
      const databasePath = join(mount, 'server.sqlite');
      const server = await startTestServer(devServer.address, { databasePath });
      const call = callerOf(server.url);
      const started = await call('POST', '/api/v1/agents/default/execute', { prompt: 'x' });
      const id = String(started.body['execution_id']);
      writeFileSync(join(mount, 'ballast'), 'x'.repeat(200_000));
      let stored = 0;
      let refusal: Awaited<ReturnType<typeof call>> | undefined;
      for (let index = 0; index < 200 && refusal === undefined; index += 1) {
        const answer = await call('POST', `/api/v1/executions/${id}/events/batch`, {
          events: [event(`e${index}`, 50_000)],
        });
        if (answer.status === 202) stored += 1;
        else refusal = answer;
      }
      expect(refusal?.status).toBe(507);
      expect(refusal?.body).toMatchObject({
        code: 'disk_full',
        retryable: true,
        detail: expect.stringContaining('disk'),
        error_id: expect.any(String),
      });
      expect(
        (await call('PATCH', `/api/v1/executions/${id}`, { status: 'completed', response: 'y'.repeat(150_000) }))
          .status,
      ).toBe(507);
      // Reading goes on, and the refused report changed nothing.
      expect((await call('GET', `/api/v1/executions/${id}`)).body).toMatchObject({ status: 'pending' });
      const last = await call('GET', `/api/v1/executions/${id}/events?after=${stored - 1}`);
      expect(last.body).toMatchObject([{ sequence: stored, event_id: `e${stored - 1}` }]);

      rmSync(join(mount, 'ballast'));
      expect(
        (await call('POST', `/api/v1/executions/${id}/events/batch`, { events: [event('after', 50_000)] })).status,
      ).toBe(202);
      expect((await call('PATCH', `/api/v1/executions/${id}`, { status: 'completed' })).body).toMatchObject({
        status: 'completed',
      });
      await server.stop();

      spawnSync('dd', ['if=/dev/zero', `of=${join(mount, 'filler')}`, 'bs=4k', 'count=1000']);
      const failure = await failureOf(startTestServer(absentTemporal, { databasePath: join(mount, 'second.sqlite') }));
      expect(failure).toMatchObject({ exitCode: 6, code: 'disk_full' });
    } finally {
      spawnSync('umount', ['--lazy', mount]);
    }
  }, 30_000);
});

describe('a file that cannot be used is a KubiyaError with a hint', () => {
  const good = pathOf('good.sqlite');
  test.each([
    ['noise', 'database_damaged', (path: string) => writeFileSync(path, 'noise '.repeat(1_000))],
    [
      'a damaged page',
      'database_damaged',
      (path: string) => {
        openStore(good, systemClock).close();
        copyFileSync(good, path);
        writeFileSync(path, readFileSync(path).fill(0xff, 4096, 8192));
      },
    ],
    [
      'a newer schema',
      'database_too_new',
      (path: string) => {
        openStore(path, systemClock).close();
        const database = new Database(path);
        database.run(`PRAGMA user_version = ${migrations.length + 1}`);
        database.close();
      },
    ],
    [
      'the database of another program',
      'database_foreign',
      (path: string) => {
        const database = new Database(path);
        database.run('CREATE TABLE songs (title TEXT)');
        database.close();
      },
    ],
    ['a directory', 'database_unusable', (path: string) => mkdirSync(path)],
  ])('%s: %s', async (name, code, make) => {
    const path = pathOf(`${name.replaceAll(' ', '-')}.sqlite`);
    make(path);
    const failure = await failureOf(startTestServer(absentTemporal, { databasePath: path }));
    expect(failure).toMatchObject({ name: 'KubiyaError', kind: 'configuration', code, hint: expect.any(String) });
    expect(String(failure)).toContain(path);
  });

  test('a directory that does not exist', async () => {
    const failure = await failureOf(startTestServer(absentTemporal, { databasePath: pathOf('absent/server.sqlite') }));
    expect(failure).toMatchObject({ code: 'database_unusable' });
  });

  test('in use by another server', async () => {
    const databasePath = pathOf('shared.sqlite');
    const first = await startTestServer(absentTemporal, { databasePath });
    expect(await failureOf(startTestServer(absentTemporal, { databasePath }))).toMatchObject({
      code: 'database_in_use',
    });
    await first.stop();
    const second = await startTestServer(absentTemporal, { databasePath });
    await second.stop();
  });

  test('the files are for their owner only, whatever the umask and the old mode', async () => {
    const databasePath = pathOf('private.sqlite');
    writeFileSync(databasePath, '');
    chmodSync(databasePath, 0o644);
    const server = await startTestServer(absentTemporal, { databasePath });
    for (const suffix of ['', '-wal']) expect(statSync(databasePath + suffix).mode & 0o777).toBe(0o600);
    await server.stop();
  });
});

describe('start', () => {
  test('seeds once, and leaves alone what the user made of it', async () => {
    const databasePath = pathOf('seeded.sqlite');
    const first = await startTestServer(absentTemporal, { databasePath });
    const call = callerOf(first.url);
    const resolved = (await call('GET', '/api/v1/skills/associations/agents/default/skills/resolved')).body;
    expect((resolved as unknown as { type: string }[]).map(({ type }) => type)).toEqual([
      'shell',
      'file_system',
      'python',
    ]);
    await call('PATCH', '/api/v1/agents/default', { system_prompt: 'Be mine', skill_ids: ['python'] });
    const before = (await call('GET', '/api/v1/agents/default')).body;
    expect(before).toMatchObject({ model_id: null });
    await first.stop();
    const second = await startTestServer(absentTemporal, { databasePath });
    const again = callerOf(second.url);
    expect((await again('GET', '/api/v1/agents/default')).body).toEqual(before);
    for (const path of ['environments', 'worker-queues', 'agents']) {
      expect((await again('GET', `/api/v1/${path}`)).body).toMatchObject([{ name: 'default' }]);
    }
    await second.stop();
  });
});

describe('group commit', () => {
  test('events of many callers are committed together, in order, and a failure reaches each of them', async () => {
    const store = openStore(pathOf('group.sqlite'), systemClock);
    let commits = 0;
    const counting = { ...store, transaction: <T>(run: () => T): T => ((commits += 1), store.transaction(run)) };
    const log = createEventLog(counting);
    let wakes = 0;
    const unsubscribe = log.subscribe(1, () => (wakes += 1));
    const results = await Promise.all(Array.from({ length: 250 }, (_, index) => log.publish(1, [event(`${index}`)])));
    expect(results.every(({ accepted }) => accepted === 1)).toBe(true);
    expect(commits).toBe(3);
    expect(wakes).toBe(3);
    expect(store.events.after(1, 0, 1_000).map(({ eventId }) => eventId)).toEqual(
      Array.from({ length: 250 }, (_, index) => `${index}`),
    );
    unsubscribe();
    unsubscribe();
    expect(log.subscriberCount).toBe(0);

    const broken = createEventLog({
      ...store,
      transaction: () => {
        throw new Error('the disk is gone');
      },
    });
    const outcomes = await Promise.allSettled([broken.publish(1, [event('x')]), broken.publish(2, [event('y')])]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    log.close();
    expect(await failureOf(log.publish(1, [event('late')]))).toMatchObject({
      code: 'server_stopping',
      isRetryable: true,
    });
    store.close();
  });
});
