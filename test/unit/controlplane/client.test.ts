// The client against a scripted control plane: retries, refusals, time limits, lenient answers, streams, heartbeats, discovery.
import { afterEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FollowedEvent } from '../../../src/controlplane/followed-event.ts';
import { createControlPlaneClient } from '../../../src/controlplane/client.ts';
import { startHeartbeat } from '../../../src/controlplane/heartbeat.ts';
import { findConnection, findLocalServer } from '../../../src/controlplane/local-server.ts';
import { type FollowOptions, followExecution } from '../../../src/controlplane/stream.ts';
import { parseServerTime, toUtcTimestamp } from '../../../src/controlplane/time.ts';
import { createFetch } from '../../../src/lib/network.ts';
import { KubiyaError } from '../../../src/errors.ts';
import {
  chunk,
  type ControlPlaneScript,
  done,
  executionId,
  type RecordedRequest,
  type ScriptedControlPlane,
  type ScriptedReply,
  startScriptedControlPlane,
  scriptedInstanceId,
} from '../../support/scripted-control-plane.ts';

const planes: ScriptedControlPlane[] = [];
afterEach(async () => {
  await Promise.all(planes.splice(0).map((plane) => plane.stop()));
});

async function start(script: ControlPlaneScript = {}) {
  const plane = await startScriptedControlPlane(script);
  planes.push(plane);
  return { plane, client: createControlPlaneClient({ url: `${plane.url}/`, token: plane.token }) };
}

/** Replies in order, then the built-in routes. */
function first(...replies: readonly (ScriptedReply | 'destroy')[]): Pick<ControlPlaneScript, 'override'> {
  const left = [...replies];
  return { override: (_request: RecordedRequest) => left.shift() };
}

async function failure(promise: Promise<unknown>): Promise<KubiyaError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof KubiyaError) return error;
  throw new Error('expected a KubiyaError', { cause: error });
}

describe('retries', () => {
  test('a GET survives a reset, 503 and 502', async () => {
    const { plane, client } = await start(first('destroy', { status: 503 }, { status: 502 }));
    expect(await client.listAgents()).toHaveLength(1);
    expect(plane.requests).toHaveLength(4);
  });
  test('and gives up after four attempts', async () => {
    const { plane, client } = await start({ override: () => ({ status: 503, body: { detail: 'Temporal is away' } }) });
    const error = await failure(client.listAgents());
    expect(error).toMatchObject({ kind: 'network', isRetryable: true });
    expect(error.message).toContain('Temporal is away');
    expect(plane.requests).toHaveLength(4);
  });
  test('an execution without a key is not started twice, one with a key is asked again', async () => {
    const without = await start(first('destroy'));
    await failure(without.client.executeAgent('a', { prompt: 'p' }));
    expect(without.plane.requests).toHaveLength(1);
    const withKey = await start(first('destroy'));
    expect((await withKey.client.executeAgent('a', { prompt: 'p' }, 'K')).execution_id).toBe(executionId);
    expect(withKey.plane.requests.map(({ headers }) => headers['idempotency-key'])).toEqual(['K', 'K']);
  });
  test('429 waits for Retry-After, also for a plain POST', async () => {
    const { plane, client } = await start(first({ status: 429, headers: { 'retry-after': '0.2' } }));
    const startedMs = performance.now();
    await client.executeAgent('a', { prompt: 'p' });
    expect(performance.now() - startedMs).toBeGreaterThan(180);
    expect(plane.requests).toHaveLength(2);
  });
  test.each([400, 401, 403, 404, 409, 422, 500, 501])('%i is not tried again', async (status) => {
    const { plane, client } = await start({ override: () => ({ status, body: { detail: 'no' } }) });
    const error = await failure(client.listAgents());
    expect(error.kind).toBe(status === 401 || status === 403 ? 'authentication' : 'api_refused');
    expect(plane.requests).toHaveLength(1);
  });
  test('a server that hangs in the middle of its answer is under the time limit too', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () =>
        socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n['),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const client = createControlPlaneClient({ url, token: 't' });
    const asked = failure(client.listAgents({ timeoutMs: 100, attemptsMax: 1 }));
    const error = await Promise.race([asked, Bun.sleep(2_000)]);
    server.close();
    expect(error).toMatchObject({ kind: 'network', isRetryable: true });
  });
  test('attemptsMax 1 switches them off, an aborted signal ends them', async () => {
    const off = await start({ override: () => ({ status: 503 }) });
    await failure(off.client.listAgents({ attemptsMax: 1 }));
    expect(off.plane.requests).toHaveLength(1);
    const aborted = AbortSignal.timeout(50);
    expect(off.client.listAgents({ signal: aborted })).rejects.toThrow(/time/i);
  });
});

describe('answers', () => {
  test.each([
    [{ detail: 'Agent not found' }, 'Agent not found'],
    [{ detail: { error: 'Unauthorized', message: 'the key is not valid', hint: 'h' } }, 'the key is not valid'],
    [
      {
        detail: [
          { loc: ['body', 'name'], msg: 'too short', type: 't' },
          { loc: ['body', 'a', 0], msg: 'bad', type: 't' },
        ],
      },
      'name: too short; a.0: bad',
    ],
    ['<html>gateway</html>', '400 Bad Request'],
    ['plain words.', 'plain words'],
  ])('%j reads as a sentence', async (body, message) => {
    const { client } = await start({ override: () => ({ status: 400, body }) });
    expect((await failure(client.listAgents())).message).toBe(message);
  });
  test('an answer of another shape names the place and not the value', async () => {
    const { client } = await start({ override: () => ({ status: 200, body: [{ id: 'sk-secret-value', name: 5 }] }) });
    const error = await failure(client.listAgents());
    expect(error).toMatchObject({ kind: 'api_refused', code: 'bad_answer' });
    expect(error.message).toContain('0.name should be string');
    expect(error.message).not.toContain('sk-secret');
  });
  test('a server that does not answer, one that is not there, and a redirect', async () => {
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const client = createControlPlaneClient({ url, token: 't' });
    expect((await failure(client.listAgents({ timeoutMs: 100, attemptsMax: 1 }))).message).toBe(
      `could not reach ${url}: no answer within 0.1 s`,
    );
    silent.close();
    const { plane, client: moved } = await start({
      override: () => ({ status: 302, headers: { location: 'http://192.0.2.1/' } }),
    });
    expect((await failure(moved.listAgents({ attemptsMax: 1 }))).message).toBe(
      `could not reach ${plane.url}: it redirects elsewhere`,
    );
  });
  test('ids go into paths encoded, slashes of model ids stay', async () => {
    const { plane, client } = await start();
    await failure(client.getQueue('../a b'));
    await failure(client.getModel('openai/gpt 5'));
    expect(plane.requests.map(({ path }) => path)).toEqual([
      '/api/v1/worker-queues/..%2Fa%20b',
      '/api/v1/models/openai/gpt%205',
    ]);
  });
  test('times without a zone are UTC', () => {
    expect(toUtcTimestamp('2026-11-24T10:00:00.123456')).toBe('2026-11-24T10:00:00.123Z');
    expect(toUtcTimestamp('2026-11-24 10:00:00')).toBe('2026-11-24T10:00:00.000Z');
    expect(toUtcTimestamp('2026-11-24T12:00:00+02:00')).toBe('2026-11-24T10:00:00.000Z');
    expect(parseServerTime('soon')).toBeUndefined();
    expect(parseServerTime(5)).toBeUndefined();
  });
});

describe('following', () => {
  async function follow(script: ControlPlaneScript, options: FollowOptions = {}) {
    const { plane, client } = await start(script);
    const events: FollowedEvent[] = [];
    const states: string[] = [];
    const stream = followExecution(client, executionId, { onConnection: (state) => states.push(state), ...options });
    for (;;) {
      const next = await stream.next();
      if (next.done === true) return { plane, events, states, execution: next.value };
      events.push(next.value);
    }
  }
  const textOf = (events: readonly FollowedEvent[]): string =>
    events.flatMap(({ type, data }) => (type === 'message_chunk' ? [String(data['content'])] : [])).join('');

  test('twenty cuts in a long stream lose and double nothing', async () => {
    const steps = Array.from({ length: 400 }, (_, index) =>
      index % 20 === 19 ? ({ type: 'end' } as const) : chunk(`${index} `),
    );
    const { events, execution } = await follow({ steps: [...steps, done('completed')] });
    expect(textOf(events)).toBe(steps.map((_, index) => (index % 20 === 19 ? '' : `${index} `)).join(''));
    expect(execution.status).toBe('COMPLETED');
  });
  test('one clean end is not worth a word', async () => {
    const { states } = await follow({ steps: [chunk('a'), { type: 'end' }, chunk('b'), done('completed')] });
    expect(states).toEqual([]);
  });
  test('silence beyond the limit is an outage', async () => {
    const { plane, states } = await follow(
      { steps: [chunk('a'), { type: 'pause', ms: 400 }, chunk('b'), done('completed')] },
      { idleMs: 150 },
    );
    expect(states[0]).toBe('lost');
    expect(plane.requestsTo('GET', /stream$/).length).toBeGreaterThan(1);
  });
  test('an outage beyond its limit is a network error', async () => {
    const script: ControlPlaneScript = {
      steps: [chunk('a'), { type: 'cut' }],
      override: ({ headers }) => (headers['last-event-id'] === undefined ? undefined : 'destroy'),
    };
    const startedMs = performance.now();
    const error = await failure(follow(script, { outageMsMax: 300 }));
    expect(error).toMatchObject({ kind: 'network', code: 'unreachable' });
    expect(performance.now() - startedMs).toBeLessThan(10_000);
  });
  test('a refused stream is not tried again', async () => {
    const { plane, client } = await start({
      override: () => ({ status: 404, body: { detail: 'Execution not found' } }),
    });
    expect((await failure(followExecution(client, 'x').next())).message).toBe('Execution not found');
    expect(plane.requests).toHaveLength(1);
  });
  test('streams that never say done end with the execution', async () => {
    const { execution } = await follow({ steps: [chunk('a')], final: { status: 'INTERRUPTED' } });
    expect(execution.status).toBe('INTERRUPTED');
  });
  test('an abort ends it with the reason', async () => {
    const { client } = await start({ steps: [{ type: 'wait', for: 'release' }] });
    const controller = new AbortController();
    const next = followExecution(client, executionId, { signal: controller.signal }).next();
    controller.abort(new Error('enough'));
    expect(next).rejects.toThrow('enough');
  });
});

describe('heartbeats', () => {
  test('one at once, one per interval, a new id after 404, none after stop', async () => {
    const { plane, client } = await start({
      override: ({ path }) =>
        path.includes('/old/') ? { status: 404, body: { detail: 'x', code: 'worker_not_found' } } : { status: 204 },
    });
    let beats = 0;
    const loop = startHeartbeat({
      client,
      workerId: 'old',
      intervalMs: 30,
      payload: () => ({ tasks_processed: (beats += 1) }),
      onUnknownWorker: () => Promise.resolve('new'),
    });
    expect(await loop.first).toBe(false);
    while (loop.counters.sent < 3) await Bun.sleep(5);
    await loop.stop();
    const sent = plane.requests.length;
    await Bun.sleep(100);
    expect(plane.requests).toHaveLength(sent);
    expect(plane.requests.map(({ path }) => path).slice(0, 3)).toEqual([
      '/api/v1/workers/old/heartbeat',
      '/api/v1/workers/new/heartbeat',
      '/api/v1/workers/new/heartbeat',
    ]);
    expect(plane.requests[1]?.body).toEqual({ tasks_processed: 2 });
    expect(loop.counters.failed).toBe(1);
    expect(loop.lastSuccessAgeMs()).toBeGreaterThan(50);
    expect(loop.workerId()).toBe('new');
  });
  test('a registration that is under way when it is stopped ends', async () => {
    const { client } = await start({ override: () => ({ status: 404, body: { code: 'worker_not_found' } }) });
    const loop = startHeartbeat({
      client,
      workerId: 'old',
      intervalMs: 10,
      payload: () => ({}),
      onUnknownWorker: (signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined))),
    });
    await Bun.sleep(50);
    expect(await Promise.race([loop.stop(), Bun.sleep(2_000).then(() => 'it hangs')])).toBeUndefined();
  });
  test('a server that is away is counted and the loop goes on', async () => {
    const { client } = await start(first('destroy', { status: 500 }, { status: 204 }));
    const errors: (string | undefined)[] = [];
    const loop = startHeartbeat({
      client,
      workerId: 'w',
      intervalMs: 10,
      payload: () => ({}),
      onUnknownWorker: () => Promise.resolve(undefined),
      onBeat: ({ error }) => errors.push(error?.kind),
    });
    while (errors.length < 3) await Bun.sleep(5);
    await loop.stop();
    expect(errors.slice(0, 3)).toEqual(['network', 'api_refused', undefined]);
  });
});

describe('certificate authorities', () => {
  test('an unknown authority is said with its remedy, the right file is trusted, a missing one matters only for https', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'kubiya-ca-'));
    const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')];
    const made = Bun.spawnSync(
      `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout ${key} -out ${certificate}`.split(
        ' ',
      ),
    );
    expect(made.exitCode).toBe(0);
    const server = Bun.serve({
      port: 0,
      tls: { key: Bun.file(key), cert: Bun.file(certificate) },
      fetch: () => Response.json([]),
    });
    const fetchTrusting = (caFile: string | undefined) =>
      createFetch({ caFile, httpProxy: undefined, httpsProxy: undefined, noProxy: undefined });
    const clientWith = (caFile: string | undefined, url = `https://localhost:${server.port}`) =>
      createControlPlaneClient({ url, token: 't', fetch: fetchTrusting(caFile) });
    const untrusted = await failure(clientWith(undefined).listAgents());
    expect(untrusted).toMatchObject({ kind: 'network', code: 'certificate_untrusted', isRetryable: false });
    expect(untrusted.hint).toContain('KUBIYA_CA_FILE');
    expect(await clientWith(certificate).listAgents()).toEqual([]);
    const missing = join(directory, 'gone.pem');
    expect(await failure(clientWith(missing).listAgents())).toMatchObject({
      kind: 'configuration',
      code: 'ca_file_unreadable',
    });
    const { plane } = await start();
    const plain = createControlPlaneClient({ url: plane.url, token: plane.token, fetch: fetchTrusting(missing) });
    expect(await plain.listAgents()).toHaveLength(1);
    await server.stop(true);
    rmSync(directory, { recursive: true });
  });
});

describe('the local server', () => {
  const settings = (directory: string, more: { url?: string; token?: string } = {}) => ({
    profile: { kind: more.token === undefined ? ('local' as const) : ('cloud' as const) },
    controlPlane: {
      url: more.url ?? 'https://control-plane.kubiya.ai',
      isUrlExplicit: more.url !== undefined,
      token: more.token === undefined ? undefined : { reveal: () => more.token ?? '' },
      tokenFile: undefined,
    },
    paths: { localServerRecordFile: join(directory, 'server.json'), localTokenFile: join(directory, 'token') },
  });

  test('is found by its record when it answers, and only then', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'kubiya-local-'));
    const { plane } = await start();
    const { paths } = settings(directory);
    expect(await findLocalServer(paths)).toBeUndefined();
    writeFileSync(paths.localServerRecordFile, '{"url":');
    writeFileSync(paths.localTokenFile, `${plane.token}\n`);
    expect(await findLocalServer(paths)).toBeUndefined();
    const record = { url: plane.url, pid: 1, started_at: '2026-11-24T10:00:00Z', version: '1' };
    const writeRecord = (instance_id: string): void =>
      writeFileSync(paths.localServerRecordFile, JSON.stringify({ ...record, instance_id }));
    // One that was killed, and another server got its port.
    writeRecord('killed');
    expect(await findLocalServer(paths)).toBeUndefined();
    writeRecord(scriptedInstanceId);
    expect(await findLocalServer(paths)).toMatchObject({ url: plane.url, token: plane.token });
    expect(await findConnection(settings(directory))).toEqual({ kind: 'local', url: plane.url, token: plane.token });
    expect(await findConnection(settings(directory, { url: plane.url }))).toMatchObject({ kind: 'local' });
    expect(await findConnection(settings(directory, { token: 'k' }))).toMatchObject({ kind: 'cloud', token: 'k' });
    const refused = await failure(findConnection(settings(directory, { url: 'http://127.0.0.1:1' })));
    expect(refused).toMatchObject({ kind: 'authentication', code: 'api_key_missing' });
    await plane.stop();
    expect(await findLocalServer(paths)).toBeUndefined();
    rmSync(directory, { recursive: true });
  });
});
