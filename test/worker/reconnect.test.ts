// Keys that are rotated and registrations that are lost while a worker runs: it takes what is new and goes on with its calls.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHome, type Home } from '../support/binary.ts';
import { createCertificates, type Certificates } from '../support/certificates.ts';
import { behind, countOf, startFront } from '../support/front.ts';
import { liveStatus, recordOf } from '../support/live-status.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { startScriptedOpenAi } from '../support/model-servers.ts';
import { startTemporalFront } from '../support/temporal-front.ts';
import { until } from '../support/until.ts';
import { readJournals, startWorkerProcess } from '../support/worker-process.ts';

const limitMs = 40_000;
const testLimitMs = 60_000;
let home: Home;
let server: LocalServer;
let certificates: Certificates;
beforeAll(async () => {
  home = createHome();
  certificates = createCertificates(home.directory, ['localhost']);
  server = await startLocalServer({ home });
  for (const name of ['keys', 'elsewhere', 'moved', 'forgotten', 'rotated', 'models'])
    await server.request('POST', '/api/v1/environments/default/worker-queues', { name });
}, 60_000);
afterAll(async () => {
  await server.stop();
  await home.waitUntilEmpty(5_000);
  home.remove();
}, 30_000);

const start = (queue: string, environment: Record<string, string>) =>
  startWorkerProcess({
    home,
    queue,
    words: ['--model', 'kubiya/offline'],
    environment: { HEARTBEAT_INTERVAL: '15', ...environment },
  });

test.concurrent(
  'Temporal refuses the key: the worker registers again and goes on with the new one, its call untouched',
  async () => {
    const temporal = await startTemporalFront(certificates, server.temporalAddress);
    const front = startFront(server);
    let key = 'key-1-0123456789';
    temporal.keys = new Set([key]);
    front.say(({ path }) =>
      path.endsWith('/start')
        ? {
            type: 'pass',
            change: (answer) => ({
              ...answer,
              temporal_host: temporal.address,
              temporal_api_key: key,
              temporal_tls: true,
            }),
          }
        : undefined,
    );
    try {
      const worker = await start('keys', { ...behind(front, server), KUBIYA_CA_FILE: certificates.authorityFile });
      const id = await server.execute('run `sleep 12; echo with the old key`, then `echo with the new key`', 'keys');
      await until(async () => (await liveStatus(worker)).executions.includes(id), { limitMs });
      key = 'key-2-0123456789';
      temporal.keys = new Set([key]);
      const ended = await server.ended(id, limitMs);
      expect(ended.response).toMatch(/with the old key[^]*with the new key/);
      await until(async () => (await liveStatus(worker)).temporal?.is_up === true, { limitMs });
      expect(front.to('/start')).toHaveLength(2);
      expect((await liveStatus(worker)).worker_id).not.toBe(worker.workerId);
      const starts = (readJournals(worker.journalDirectory).get(id) ?? []).filter(({ type }) => type === 'started');
      expect(new Set(starts.map(({ call }) => call)).size).toBe(starts.length);
      expect(countOf(worker.process, /Temporal refuses this worker’s key/)).toBe(1);
      expect(countOf(worker.process, /"msg":"Temporal answers again"/)).toBe(1);
      expect(worker.process.output()).not.toMatch(/key-[12]-0123456789/);
      expect((await worker.process.end('SIGTERM')).code).toBe(0);
    } finally {
      await front.stop();
      await temporal.stop();
    }
  },
  testLimitMs,
);

test.concurrent('Temporal is away for good: the worker asks the control plane where it is now and goes on there', async () => {
  const before = await startTemporalFront(certificates, server.temporalAddress);
  before.keys = new Set(['key-of-the-old-place']);
  const front = startFront(server);
  front.say(({ path }) =>
    path.endsWith('/start')
      ? {
          type: 'pass',
          change: (answer) => ({
            ...answer,
            temporal_host: before.address,
            temporal_api_key: 'key-of-the-old-place',
            temporal_tls: true,
          }),
        }
      : undefined,
  );
  try {
    const environment = { ...behind(front, server), KUBIYA_CA_FILE: certificates.authorityFile };
    const worker = await start('elsewhere', environment);
    const id = await server.execute('run `sleep 5; echo begun there`, then `echo ended here`', 'elsewhere');
    await until(async () => (await liveStatus(worker)).executions.includes(id), { limitMs });
    front.say(() => undefined);
    await before.stop();
    const ended = await server.ended(id, testLimitMs);
    expect(ended.response).toMatch(/begun there[^]*ended here/);
    expect(front.to('/start')).toHaveLength(2);
    expect((await liveStatus(worker)).temporal?.address).toBe(server.temporalAddress);
    expect((await worker.process.end('SIGTERM')).code).toBe(0);
  } finally {
    await before.stop();
    await front.stop();
  }
}, 90_000);

test.concurrent(
  'a control plane that forgot the worker: it registers again, also when that fails for a while, without haste',
  async () => {
    const front = startFront(server);
    try {
      const worker = await start('forgotten', behind(front, server));
      const lostAtMs = performance.now();
      let canRegister = false;
      front.say(({ path }) => {
        if (path.endsWith(`/${worker.workerId}/heartbeat`))
          return { type: 'answer', status: 404, body: { detail: 'There is no such worker', code: 'worker_not_found' } };
        if (path.endsWith('/start') && !canRegister) return { type: 'answer', status: 500, body: { detail: 'broken' } };
        return undefined;
      });
      await until(() => front.to('/start').length >= 3, { limitMs });
      const elapsedMs = performance.now() - lostAtMs;
      // 15 s to the first beat; then one after 2 s, and one every 5 to 10.
      expect(elapsedMs).toBeGreaterThan(15_000);
      expect(await liveStatus(worker)).toMatchObject({ control_plane: { is_up: false }, worker_id: worker.workerId });
      canRegister = true;
      await until(async () => (await liveStatus(worker)).worker_id !== worker.workerId, { limitMs });
      const { worker_id: id } = await liveStatus(worker);
      await until(async () => (await liveStatus(worker)).control_plane?.is_up === true, { limitMs: 5_000 });
      expect(recordOf(worker.directory).worker_id).toBe(id);
      const listed = (await server.request('GET', '/api/v1/worker-queues/forgotten/workers')) as { id: string }[];
      expect(listed.map((one) => one.id)).toContain(id ?? '');
      expect(countOf(worker.process, /"msg":"Registered again"/)).toBe(1);
      const execution = await server.execute('run `echo known again`', 'forgotten');
      expect(await server.ended(execution, limitMs)).toMatchObject({ status: 'completed' });
      expect((await worker.process.end('SIGTERM')).code).toBe(0);
      expect(front.to('/disconnect').map(({ path }) => path)).toEqual([`/api/v1/workers/${id}/disconnect`]);
    } finally {
      await front.stop();
    }
  },
  testLimitMs,
);

test.concurrent(
  'another key for the gateway at a later registration: the next model call uses it',
  async () => {
    const model = await startScriptedOpenAi([
      { type: 'text', text: 'with the first' },
      { type: 'text', text: 'with the second' },
    ]);
    const front = startFront(server);
    let key = 'gateway-key-1';
    let isForgotten = false;
    front.say(({ path }) => {
      if (path.endsWith('/start'))
        return {
          type: 'pass',
          change: (answer) => ({ ...answer, litellm_api_url: model.url, litellm_api_key: key }),
        };
      if (isForgotten && path.endsWith('/heartbeat') && front.to('/start').length === 1)
        return { type: 'answer', status: 404, body: { detail: 'There is no such worker', code: 'worker_not_found' } };
      return undefined;
    });
    try {
      const environment = { ...behind(front, server), HEARTBEAT_INTERVAL: '15' };
      const worker = await startWorkerProcess({ home, queue: 'models', words: ['--model', 'any'], environment });
      await server.ended(await server.execute('first', 'models'), limitMs);
      key = 'gateway-key-2';
      isForgotten = true;
      await until(() => countOf(worker.process, /"msg":"Registered again"/) === 1, { limitMs });
      await server.ended(await server.execute('second', 'models'), limitMs);
      expect(model.requests.map(({ headers }) => headers.authorization)).toEqual([
        'Bearer gateway-key-1',
        'Bearer gateway-key-2',
      ]);
      expect((await worker.process.end('SIGTERM')).code).toBe(0);
    } finally {
      await front.stop();
      await model.stop();
    }
  },
  testLimitMs,
);

test.concurrent(
  'a key in a file that is rotated is read again',
  async () => {
    const front = startFront(server);
    const file = join(home.directory, 'rotating-key');
    writeFileSync(file, 'old-key-0123456789', { mode: 0o600 });
    let valid = 'old-key-0123456789';
    // The server behind it has a key of its own: the front checks the rotated one and passes the request on with the server's.
    const outer = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: async (request) => {
        if (request.headers.get('authorization') !== `Bearer ${valid}` && !request.url.endsWith('/health'))
          return Response.json(
            { detail: { error: 'Unauthorized', message: 'expired', hint: 'renew' } },
            { status: 401 },
          );
        const { pathname, search } = new URL(request.url);
        const body = await request.text();
        return await fetch(`${front.url}${pathname}${search}`, {
          method: request.method,
          headers: { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' },
          ...(body === '' ? {} : { body }),
        });
      },
    });
    try {
      const worker = await start('rotated', {
        CONTROL_PLANE_URL: `http://127.0.0.1:${outer.port}`,
        KUBIYA_API_KEY_FILE: file,
      });
      valid = 'new-key-0123456789';
      // Nobody has written the new key yet: that is said at once.
      await until(async () => (await liveStatus(worker)).control_plane?.is_up === false, { limitMs, intervalMs: 200 });
      expect((await liveStatus(worker)).control_plane?.reason).toContain('expired');
      writeFileSync(file, valid);
      await until(async () => (await liveStatus(worker)).control_plane?.is_up === true, { limitMs, intervalMs: 200 });
      const execution = await server.execute('run `echo with a new key`', 'rotated');
      expect(await server.ended(execution, limitMs)).toMatchObject({ status: 'completed' });
      expect(front.to('/start')).toHaveLength(1);
      expect((await worker.process.end('SIGTERM')).code).toBe(0);
    } finally {
      await outer.stop(true);
      await front.stop();
    }
  },
  testLimitMs,
);

test.concurrent(
  'a queue that moves to another namespace ends the worker with its reason, to be started again',
  async () => {
    const front = startFront(server);
    try {
      const worker = await start('moved', behind(front, server));
      front.say(({ path }) => {
        if (path.endsWith(`/${worker.workerId}/heartbeat`)) return { type: 'answer', status: 404 };
        return path.endsWith('/start')
          ? { type: 'pass', change: (answer) => ({ ...answer, temporal_namespace: 'elsewhere' }) }
          : undefined;
      });
      expect((await worker.process.exited).code).toBe(1);
      expect(worker.process.output()).toContain(
        'the control plane has moved this queue to the namespace elsewhere, which only a new start can take up',
      );
    } finally {
      await front.stop();
    }
  },
  testLimitMs,
);
