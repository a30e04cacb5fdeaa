// Outages of the control plane: survived without a restart, seen in the status, said once, and nobody is hammered.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHome, type Home } from '../support/binary.ts';
import { behind, countOf, startFront, type FrontAnswer } from '../support/front.ts';
import { liveStatus } from '../support/live-status.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess } from '../support/worker-process.ts';

const limitMs = 40_000;
let home: Home;
let server: LocalServer;
beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home });
}, 60_000);
afterAll(async () => {
  await server.stop();
  await home.waitUntilEmpty(5_000);
  home.remove();
}, 30_000);

test.concurrent.each([
  ['answers 503', 'refusing', { type: 'answer', status: 503, body: { detail: 'under repair' } }, /under repair/],
  ['hangs', 'silent', { type: 'hang' }, /no answer within 10 s/],
] as [string, string, FrontAnswer, RegExp][])(
  'a control plane that %s: a call goes on, the change is said once, nobody is hammered',
  async (_what, queue, answer, reason) => {
    const front = startFront(server);
    try {
      await server.request('POST', '/api/v1/environments/default/worker-queues', { name: queue });
      const worker = await startWorkerProcess({
        home,
        queue,
        words: ['--model', 'kubiya/offline'],
        environment: { HEARTBEAT_INTERVAL: '15', ...behind(front, server) },
      });
      const id = await server.execute('run `sleep 20; echo done`', queue);
      await until(async () => (await liveStatus(worker)).executions.includes(id), { limitMs });
      const downAtMs = performance.now();
      front.say(() => answer);
      await until(async () => (await liveStatus(worker)).control_plane?.is_up === false, { limitMs, intervalMs: 200 });
      expect((await liveStatus(worker)).control_plane?.reason).toMatch(reason);
      const beats = front.to('/heartbeat').filter(({ atMs }) => atMs > downAtMs);
      expect(beats.length).toBeLessThanOrEqual(3);
      front.say(undefined);
      await until(async () => (await liveStatus(worker)).control_plane?.is_up === true, { limitMs, intervalMs: 200 });
      expect(await server.ended(id, limitMs)).toMatchObject({ response: expect.stringContaining('done') });
      expect(countOf(worker.process, /Heartbeats do not arrive; work goes on/)).toBe(1);
      expect(countOf(worker.process, /Heartbeats arrive again/)).toBe(1);
      expect(front.to('/start')).toHaveLength(1);
      expect((await worker.process.end('SIGTERM')).code).toBe(0);
    } finally {
      await front.stop();
    }
  },
  90_000,
);
