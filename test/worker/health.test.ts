// An outage of Temporal, a stopped process, and a stop when nobody is left: survived without a restart, seen in the status, said once.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHome, type Home, tryKill } from '../support/binary.ts';
import { behind, countOf, startFront } from '../support/front.ts';
import { liveStatus, recordOf } from '../support/live-status.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';

const limitMs = 40_000;
let home: Home;
let server: LocalServer;
beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home });
  await server.request('POST', '/api/v1/environments/default/worker-queues', { name: 'stopped' });
}, 60_000);
afterAll(async () => {
  await server.stop();
  await home.waitUntilEmpty(5_000);
  home.remove();
}, 30_000);

const start = (queue: string, environment: Record<string, string>, where: Home = home) =>
  startWorkerProcess({
    home: where,
    queue,
    words: ['--model', 'kubiya/offline', '--webui-port', '0'],
    environment: { HEARTBEAT_INTERVAL: '15', ...environment },
  });
const readiness = async ({ directory }: WorkerProcess): Promise<{ status: number; text: string }> => {
  const response = await fetch(`${recordOf(directory).web_url ?? ''}/readyz`);
  return { status: response.status, text: await response.text() };
};
const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

test.concurrent('a Temporal that hangs: the running call goes on, readiness is refused, and work goes on afterwards', async () => {
  const home = createHome();
  const server = await startLocalServer({ home });
  const worker = await start('outage', {}, home);
  const before = await liveStatus(worker);
  expect(before).toMatchObject({ temporal: { is_up: true, reason: null }, not_ready_reason: null });
  expect(before.poll_age_ms).toBeGreaterThanOrEqual(0);
  const id = await server.execute('run `sleep 8; echo survived`', 'outage');
  await until(async () => (await liveStatus(worker)).executions.includes(id), { limitMs });
  const pid = server.temporalPid();
  tryKill(pid, 'SIGSTOP');
  try {
    await until(async () => (await liveStatus(worker)).temporal?.is_up === false, { limitMs, intervalMs: 200 });
    expect((await liveStatus(worker)).temporal?.reason).toMatch(/\S/);
    expect(await readiness(worker)).toMatchObject({ status: 503, text: expect.stringContaining('Temporal at') });
    await pause(4_000);
  } finally {
    tryKill(pid, 'SIGCONT');
  }
  await until(async () => (await liveStatus(worker)).temporal?.is_up === true, { limitMs, intervalMs: 200 });
  expect((await readiness(worker)).status).toBe(200);
  expect(await server.ended(id, limitMs)).toMatchObject({
    status: 'completed',
    response: expect.stringContaining('survived'),
  });
  expect(countOf(worker.process, /Temporal does not answer; running calls go on/)).toBe(1);
  expect(countOf(worker.process, /"msg":"Temporal answers again"/)).toBe(1);
  expect((await worker.process.end('SIGTERM')).code).toBe(0);
  await server.stop();
  await home.waitUntilEmpty(5_000);
  home.remove();
}, 60_000);

test.concurrent('a worker that was stopped for a while, as on a laptop that sleeps, is heard of at once', async () => {
  const front = startFront(server);
  try {
    const worker = await start('stopped', behind(front, server));
    await until(() => front.to('/heartbeat').length === 1);
    worker.process.signal('SIGSTOP');
    await pause(8_500);
    worker.process.signal('SIGCONT');
    const wokeAtMs = performance.now();
    await until(() => front.to('/heartbeat').length === 2, { limitMs: 5_000 });
    expect(performance.now() - wokeAtMs).toBeLessThan(4_000);
    expect(await liveStatus(worker)).toMatchObject({ not_ready_reason: null, control_plane: { is_up: true } });
    expect(countOf(worker.process, /did not run for \d+ s/)).toBe(1);
    expect((await worker.process.end('SIGTERM')).code).toBe(0);
  } finally {
    await front.stop();
  }
}, 40_000);

test.concurrent('with both of them gone the stop still ends, in its time', async () => {
  const there = createHome();
  const other = await startLocalServer({ home: there });
  const worker = await startWorkerProcess({
    home: there,
    queue: 'alone',
    words: ['--model', 'kubiya/offline', '--drain-timeout', '1s'],
  });
  await other.execute('run `sleep 300`', 'alone');
  await until(async () => (await liveStatus(worker)).executions.length === 1, { limitMs });
  await other.process.end('SIGKILL');
  const startMs = performance.now();
  expect((await worker.process.end('SIGTERM', 35_000)).code).toBe(0);
  expect(performance.now() - startMs).toBeLessThan(25_000);
  await there.waitUntilEmpty(5_000);
  there.remove();
}, 60_000);
