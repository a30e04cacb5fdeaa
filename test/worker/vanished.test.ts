// A worker of this machine that is killed is gone for its local control plane at once, not when its heartbeats are missed.
import { expect, test } from 'bun:test';
import { createHome } from '../support/binary.ts';
import { startLocalServer } from '../support/local-server.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess } from '../support/worker-process.ts';

test('the owner of the local control plane does not wait for a killed worker of another queue', async () => {
  const home = createHome();
  try {
    const owner = await startWorkerProcess({ home, queue: 'owner' });
    const guest = await startWorkerProcess({ home, queue: 'guest' });
    await guest.process.end('SIGKILL');
    const startMs = performance.now();
    expect((await owner.process.end('SIGTERM')).code).toBe(0);
    // The dev server alone takes up to 3 s to stop; 75 s are what two and a half heartbeats are.
    expect(performance.now() - startMs).toBeLessThan(12_000);
    expect(owner.process.output()).toContain('A worker of this machine is gone without a word');
    await home.waitUntilEmpty(5_000);
  } finally {
    home.remove();
  }
}, 60_000);

test('a live guest is still waited for, and one that is stopped is live', async () => {
  const home = createHome();
  try {
    const owner = await startWorkerProcess({ home, queue: 'owner' });
    const guest = await startWorkerProcess({ home, queue: 'guest' });
    guest.process.signal('SIGSTOP');
    owner.process.signal('SIGTERM');
    await owner.process.waitFor(/Others still use this local control plane/);
    await new Promise((done) => setTimeout(done, 2_000));
    expect(owner.process.hasExited).toBe(false);
    guest.process.signal('SIGCONT');
    expect((await guest.process.end('SIGTERM')).code).toBe(0);
    expect((await owner.process.exited).code).toBe(0);
    await home.waitUntilEmpty(5_000);
  } finally {
    home.remove();
  }
}, 60_000);

test('a queue with max_workers has room again as soon as its worker is killed', async () => {
  const home = createHome();
  const other = createHome();
  try {
    const server = await startLocalServer({ home });
    await server.request('POST', '/api/v1/environments/default/worker-queues', { name: 'narrow', max_workers: 1 });
    const first = await startWorkerProcess({ home, queue: 'narrow' });
    await first.process.end('SIGKILL');
    const list = async (): Promise<unknown[]> =>
      (await server.request('GET', '/api/v1/worker-queues/narrow/workers')) as unknown[];
    await until(async () => (await list()).length === 0, { limitMs: 2_000 });
    // Another journal, so it is no successor that is let in for that.
    const second = await startWorkerProcess({
      home: other,
      queue: 'narrow',
      environment: { CONTROL_PLANE_URL: server.url, KUBIYA_API_KEY: server.token },
    });
    expect((await second.process.end('SIGTERM')).code).toBe(0);
    await server.stop();
  } finally {
    home.remove();
    other.remove();
  }
}, 60_000);
