// Errors of our own: the answer has an id and nothing internal, the log has the id and everything.
import { afterEach, describe, expect, test } from 'bun:test';
import { systemClock } from '../../../src/lib/clock.ts';
import { createApp } from '../../../src/server/app.ts';
import type { ServerDeps } from '../../../src/server/deps.ts';
import { createEventLog } from '../../../src/server/events.ts';
import { seed } from '../../../src/server/seed.ts';
import { openStore, type Store } from '../../../src/server/store/store.ts';
import { TemporalError, type Temporal } from '../../../src/server/temporal.ts';
import { createRecordingLog, testToken } from '../../server/support.ts';

const opened: Store[] = [];
afterEach(() => {
  for (const store of opened.splice(0)) store.close();
});

/** A Temporal whose every call fails in one way. */
function failingTemporal(failure: Error): Temporal {
  const fail = (): Promise<never> => Promise.reject(failure);
  return {
    start: fail,
    signal: fail,
    cancel: fail,
    terminate: fail,
    describe: fail,
    release: fail,
    inspect: fail,
    schedules: { apply: fail, remove: fail, find: fail, list: fail },
    openBefore: fail,
    close: () => Promise.resolve(),
  };
}

function appWith(changes: (store: Store) => Partial<ServerDeps>) {
  const { log, entries } = createRecordingLog();
  const store = openStore(':memory:', systemClock);
  opened.push(store);
  seed({ store });
  const app = createApp({
    store,
    events: createEventLog(store),
    temporal: failingTemporal(new TemporalError('unavailable', 'Temporal at here does not answer')),
    registration: {
      temporalAddress: 'here',
      temporalNamespace: 'default',
      temporalApiKey: '',
      hasTemporalTls: false,
      isLocal: true,
      signingKey: '',
    },
    token: testToken,
    databases: [],
    log,
    clock: systemClock,
    version: '0',
    instanceId: 'a-test',
    wake: () => undefined,
    syncJob: () => Promise.resolve(),
    stopping: new AbortController().signal,
    ...changes(store),
  });
  const ask = async (method: string, path: string, body?: unknown) => {
    const headers = { authorization: `Bearer ${testToken}`, 'content-type': 'application/json' };
    const response = await app.request(path, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  return { ask, entries, store };
}

describe('a bug in a route', () => {
  test('is 500 with an id that is in the log, and tells nothing', async () => {
    const secret = 'SELECT token FROM secrets at /root/private';
    const { ask, entries } = appWith((store) => ({
      store: {
        ...store,
        queues: {
          ...store.queues,
          list: () => {
            throw new Error(secret, { cause: new Error('deeper') });
          },
        },
      },
    }));
    const { status, body } = await ask('GET', '/api/v1/worker-queues');
    expect(status).toBe(500);
    expect(body).toMatchObject({ code: 'internal', retryable: false, error_id: expect.any(String) });
    expect(JSON.stringify(body)).not.toContain('secret');
    const [entry] = entries;
    expect(entry).toMatchObject({
      level: 'error',
      fields: { error_id: body['error_id'], request: 'GET /api/v1/worker-queues', cause: 'deeper' },
    });
    expect(String(entry?.fields['error'])).toContain(secret);
  });

  test('a refusal of the user is not logged as an error', async () => {
    const { ask, entries } = appWith(() => ({}));
    expect((await ask('GET', '/api/v1/agents/absent')).status).toBe(404);
    expect((await ask('POST', '/api/v1/agents', {})).status).toBe(422);
    expect(entries).toEqual([]);
  });
});

test('a full disk in the moment of a takeover leaves the calls to the timeouts and hurts nobody', async () => {
  const { ask, entries } = appWith((store) => ({
    store: {
      ...store,
      queues: {
        ...store.queues,
        disconnect: () => {
          throw new Error('database or disk is full');
        },
      },
    },
  }));
  const queues = (await ask('GET', '/api/v1/worker-queues')).body as unknown as { id: string }[];
  const path = `/api/v1/worker-queues/${queues[0]?.id}/start`;
  const body = { worker_sdk_version: '0', system_info: {}, journal_id: 'one' };
  expect((await ask('POST', path, body)).status).toBe(200);
  expect((await ask('POST', path, body)).status).toBe(200);
  await Bun.sleep(0);
  expect(entries.map(({ message }) => message)).toContain('A takeover is left to the timeouts');
});

test('executions that have just ended do not keep a takeover from the others', async () => {
  const released: string[] = [];
  const { ask } = appWith(() => ({
    temporal: {
      ...failingTemporal(new TemporalError('not_found', 'The workflow is not open')),
      start: () => Promise.resolve(),
      release: (id) => {
        released.push(id);
        return Promise.reject(new TemporalError('not_found', 'The workflow is not open'));
      },
    },
  }));
  const queues = (await ask('GET', '/api/v1/worker-queues')).body as unknown as { id: string }[];
  const queueId = queues[0]?.id;
  for (let index = 0; index < 12; index++) {
    await ask('POST', '/api/v1/agents/default/execute', { prompt: 'x', worker_queue_id: queueId });
  }
  const body = { worker_sdk_version: '0', system_info: {}, journal_id: 'one' };
  for (let index = 0; index < 2; index++) await ask('POST', `/api/v1/worker-queues/${queueId}/start`, body);
  await Bun.sleep(10);
  expect(new Set(released).size).toBe(12);
});

describe('Temporal', () => {
  test('a signal that cannot be delivered is 503, and the execution is as it was', async () => {
    const { ask, store } = appWith(() => ({}));
    const { body } = await ask('POST', '/api/v1/agents/default/execute', { prompt: 'x' });
    const id = String(body['execution_id']);
    store.executions.markStarted(id);
    for (const verb of ['pause', 'resume', 'cancel', 'mark-done']) {
      expect(await ask('POST', `/api/v1/executions/${id}/${verb}`)).toMatchObject({
        status: 503,
        body: { code: 'temporal_unavailable', retryable: true },
      });
    }
    expect(store.executions.find(id)).toMatchObject({ status: 'pending', cancelRequestedAtMs: null });
  });
});
