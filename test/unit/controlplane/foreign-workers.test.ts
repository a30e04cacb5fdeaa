// Whose a listed worker is, and whether it lives, from what control planes really list.
import { expect, test } from 'bun:test';
import { createControlPlaneClient } from '../../../src/controlplane/client.ts';
import { findForeignWorkers, type ForeignWorker } from '../../../src/controlplane/foreign-workers.ts';

const now = Date.parse('2026-11-24T12:00:00Z');
const base = { status: 'active', tasks_processed: 0, registered_at: '2026-11-24T09:00:00' };
const python = { hostname: 'build-1', python_version: '3.12.1', sdk_version: '0.9.9', pid: 7 };

async function find(workers: unknown[], heartbeatSeconds?: number | null): Promise<readonly ForeignWorker[]> {
  const server = Bun.serve({ port: 0, fetch: () => Response.json(workers) });
  try {
    const client = createControlPlaneClient({ url: `http://127.0.0.1:${server.port}`, token: 'x' });
    return await findForeignWorkers(client, 'queue', { heartbeatSeconds, now: () => now });
  } finally {
    await server.stop(true);
  }
}

test('workers of ours are none: by their journal, or by what their heartbeats say', async () => {
  const ours = [
    { ...base, id: 'a', worker_id: 'a', journal_id: 'j@host', last_heartbeat: '2026-11-24T11:59:50Z' },
    { ...base, id: 'b', worker_id: 'b', worker_metadata: { instance_id: 'i' }, last_heartbeat: '2026-11-24T11:59:50Z' },
  ];
  expect(await find(ours)).toEqual([]);
  expect(await find([])).toEqual([]);
});

test('a Python worker is certain, and live for two heartbeats; a time without a zone is UTC', async () => {
  const of = (lastHeartbeat: string | null) => [
    { ...base, id: 'p', worker_id: 'p', system_info: python, worker_metadata: {}, last_heartbeat: lastHeartbeat },
  ];
  const description = 'Python worker 0.9.9 on build-1 (p)';
  const expected = (isLive: boolean) => [{ id: 'p', description, isCertain: true, isLive }];
  expect(await find(of('2026-11-24T11:58:30.123456'))).toEqual(expected(true));
  expect(await find(of('2026-11-24T11:57:59'))).toEqual(expected(false));
  expect(await find(of('2026-11-24T11:58:30'), 30)).toEqual(expected(false));
  expect(await find(of(null))).toEqual(expected(false));
});

test('a worker that says nothing of itself is not certain', async () => {
  const silent = { ...base, id: 'u', worker_id: 'u', last_heartbeat: '2026-11-24T11:59:50Z' };
  expect(await find([silent])).toEqual([
    { id: 'u', description: 'worker of another product (u)', isCertain: false, isLive: true },
  ]);
});
