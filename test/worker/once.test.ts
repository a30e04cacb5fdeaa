// `worker start --once`: one execution, its result as exit code, no second one, and what becomes of a queue that is taken away.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHome, type Home } from '../support/binary.ts';
import { behind, startFront, type Front } from '../support/front.ts';
import { liveStatus } from '../support/live-status.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';

const limitMs = 30_000;
let home: Home;
let server: LocalServer;
let queues = 0;
beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home });
}, 60_000);
afterAll(async () => {
  await server.stop();
  await home.waitUntilEmpty(5_000);
  home.remove();
}, 30_000);

const start = (queue: string, words: readonly string[] = [], environment: Record<string, string> = {}) =>
  startWorkerProcess({ home, queue, words: ['--once', '--model', 'kubiya/offline', ...words], environment });
async function newQueue(): Promise<string> {
  const name = `once-${(queues += 1)}`;
  await server.request('POST', '/api/v1/environments/default/worker-queues', { name });
  return name;
}
const status = async (id: string): Promise<string> => (await server.execution(id)).status;
async function liveWorkers(queue: string): Promise<number> {
  return ((await server.request('GET', `/api/v1/worker-queues/${queue}/workers`)) as unknown[]).length;
}
const exitOf = async (worker: WorkerProcess): Promise<number | null> => (await worker.process.exited).code;

describe('the exit code is the result', () => {
  test('0 when it completed, with everything cleaned up and the report delivered', async () => {
    const queue = await newQueue();
    const worker = await start(queue);
    const id = await server.execute('run `echo one`', queue);
    expect(await exitOf(worker)).toBe(0);
    expect(await server.execution(id)).toMatchObject({ status: 'completed', response: expect.stringContaining('one') });
    expect(worker.process.output()).toContain(`The execution ${id} is completed (--once)`);
    expect(await liveWorkers(queue)).toBe(0);
  });

  test('1 when it failed', async () => {
    const queue = await newQueue();
    const worker = await start(queue);
    await server.execute('run `false`', queue);
    expect(await exitOf(worker)).toBe(1);
  });

  test('130 when it was cancelled', async () => {
    const queue = await newQueue();
    const worker = await start(queue);
    const id = await server.execute('run `sleep 60`', queue);
    await until(async () => (await liveStatus(worker)).executions.includes(id), { limitMs });
    await server.request('POST', `/api/v1/executions/${id}/cancel`);
    expect(await exitOf(worker)).toBe(130);
    expect(await status(id)).toBe('cancelled');
  });
});

test('a queue whose worker has its execution refuses another, and takes it again when the worker is gone', async () => {
  const queue = await newQueue();
  const worker = await start(queue);
  const id = await server.execute('run `sleep 1`', queue);
  const refusal = await server.execute('run `echo two`', queue).catch(String);
  expect(refusal).toContain('answered 409');
  expect(refusal).toContain('"code":"queue_claimed"');
  expect(await exitOf(worker)).toBe(0);
  expect(await status(id)).toBe('completed');
  const waiting = await server.execute('run `echo two`', queue);
  // The next one claims what waits.
  const next = await start(queue);
  expect(await server.execute('run `echo three`', queue).catch(String)).toContain('queue_claimed');
  expect(await exitOf(next)).toBe(0);
  expect(await status(waiting)).toBe('completed');
}, 60_000);

test('two such workers take two executions', async () => {
  const queue = await newQueue();
  const other = createHome();
  try {
    const workers = await Promise.all([
      start(queue),
      startWorkerProcess({
        home: other,
        queue,
        words: ['--once', '--model', 'kubiya/offline'],
        environment: { CONTROL_PLANE_URL: server.url, KUBIYA_API_KEY: server.token },
      }),
    ]);
    const ids = [await server.execute('run `sleep 2`', queue), await server.execute('run `sleep 2`', queue)];
    expect(await server.execute('run `true`', queue).catch(String)).toContain('queue_claimed');
    for (const id of ids) expect(await server.ended(id, limitMs)).toMatchObject({ status: 'completed' });
    // Temporal may have given both to one of them; the other then still waits for its own.
    await until(() => workers.some(({ process }) => process.hasExited), { limitMs });
    await Promise.all(workers.map(({ process }) => process.end('SIGTERM')));
  } finally {
    other.remove();
  }
}, 60_000);

test('a conversation that waits for input is not over', async () => {
  const queue = await newQueue();
  const worker = await start(queue, ['--idle-timeout', '1s']);
  const { execution_id: id } = (await server.request('POST', '/api/v1/agents/default/execute', {
    prompt: 'run `echo asked`',
    worker_queue_id: queue,
    is_conversation: true,
  })) as { execution_id: string };
  await until(async () => (await status(id)) === 'waiting_for_input', { limitMs });
  await new Promise((done) => setTimeout(done, 2_500));
  expect(worker.process.hasExited).toBe(false);
  await server.request('POST', `/api/v1/executions/${id}/mark-done`);
  expect(await exitOf(worker)).toBe(0);
  expect(await status(id)).toBe('completed');
});

describe('a control plane that knows nothing of it', () => {
  let front: Front;
  beforeAll(() => {
    front = startFront(server);
    front.say(({ path, body }) => {
      const { single_execution: _, ...rest } = body;
      return path.endsWith('/start') ? { type: 'pass', body: rest } : undefined;
    });
  });
  afterAll(async () => await front.stop());

  test('what comes beside the first runs and is counted; the first decides', async () => {
    const queue = await newQueue();
    const worker = await start(queue, [], behind(front, server));
    const first = await server.execute('run `sleep 1; false`', queue);
    await until(async () => (await liveStatus(worker)).executions.includes(first), { limitMs });
    const others = [await server.execute('run `sleep 2`', queue), await server.execute('run `echo b`', queue)];
    expect(await exitOf(worker)).toBe(1);
    for (const id of [first, ...others]) expect(await status(id)).toBe(id === first ? 'failed' : 'completed');
    expect(worker.process.output()).toContain('2 executions more came to this worker, which is for one (--once)');
    expect(worker.process.output()).toContain(`The execution ${first} has failed (--once), 2 more came beside it`);
  });
});

test('a temporary queue goes with the worker that has had its execution', async () => {
  const queue = (await server.request('POST', '/api/v1/environments/default/worker-queues', {
    name: 'borrowed',
    ephemeral: true,
    single_execution_mode: true,
  })) as { id: string };
  const worker = await start(queue.id);
  const id = await server.execute('run `echo once`', queue.id);
  expect(await exitOf(worker)).toBe(0);
  expect(await status(id)).toBe('completed');
  expect(await server.request('GET', `/api/v1/worker-queues/${queue.id}`).catch(String)).toContain('answered 404');
});

test('a temporary queue that is gone ends its worker, with the reason', async () => {
  const queue = (await server.request('POST', '/api/v1/environments/default/worker-queues', {
    name: 'lost',
    ephemeral: true,
  })) as { id: string };
  const front = startFront(server);
  try {
    const worker = await start(queue.id, [], { ...behind(front, server), HEARTBEAT_INTERVAL: '15' });
    front.say(({ path }) =>
      /\/(heartbeat|start)$/.test(path)
        ? { type: 'answer', status: 404, body: { detail: 'There is no such queue' } }
        : undefined,
    );
    // Its next heartbeat is due at once after it was stopped for a while.
    worker.process.signal('SIGSTOP');
    await new Promise((done) => setTimeout(done, 9_000));
    worker.process.signal('SIGCONT');
    expect(await exitOf(worker)).toBe(4);
    expect(worker.process.output()).toContain('this worker has lost its temporary queue: There is no such queue');
    expect(front.to('/start').length).toBe(2);
  } finally {
    await front.stop();
  }
}, 40_000);
