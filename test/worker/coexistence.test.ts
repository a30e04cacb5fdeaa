// A queue with a worker of another product: the start refuses while that one lives, warns when it is silent or allowed.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { Connection } from '@temporalio/client';
import { runCommand } from '../support/run-binary.ts';
import { createHome, type Home } from '../support/binary.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { startWorkerProcess } from '../support/worker-process.ts';

let home: Home;
let server: LocalServer;
let python: string;

beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home });
  await server.request('POST', '/api/v1/environments/default/worker-queues', { name: 'mixed' });
  const started = await server.request('POST', '/api/v1/worker-queues/mixed/start', { worker_sdk_version: '0.9.9' });
  python = (started as { worker_id: string }).worker_id;
  // As the other product's worker does.
  await server.request('POST', `/api/v1/workers/${python}/heartbeat`, {
    status: 'active',
    tasks_processed: 0,
    worker_metadata: {},
    system_info: { hostname: 'build-1', python_version: '3.12.1', sdk_version: '0.9.9', pid: 7 },
  });
}, 90_000);
afterAll(async () => {
  await server.stop();
  home.remove();
}, 30_000);

test('a live one: the start ends with 2, names it, and has registered nothing', async () => {
  const result = await runCommand(['worker', 'start', '--queue-id', 'mixed', '--model', 'kubiya/offline'], { home });
  expect(result.code).toBe(2);
  expect(result.stderr).toContain(`error: the queue mixed is served by a Python worker 0.9.9 on build-1 (${python})`);
  expect(result.stderr).toContain('hint: start this worker on a new queue');
  const workers = (await server.request('GET', '/api/v1/worker-queues/mixed/workers?include_gone=true')) as unknown[];
  expect(workers).toHaveLength(1);
}, 30_000);

test('allowed: it starts, with a warning in log and status; another queue is not concerned', async () => {
  const worker = await startWorkerProcess({
    home,
    queue: 'mixed',
    words: ['--model', 'kubiya/offline'],
    environment: { KUBIYA_ALLOW_MIXED_QUEUE: 'true' },
  });
  expect(worker.process.output()).toMatch(/"level":40.*The queue mixed also has Python worker 0\.9\.9/);
  const { stdout } = await runCommand(['worker', 'status', '--queue-id', 'mixed', '--json'], { home });
  expect((JSON.parse(stdout) as { warnings: string[] }).warnings.join()).toContain('Python worker 0.9.9 on build-1');
  await worker.process.end('SIGTERM');

  const other = await startWorkerProcess({ home, queue: 'ours', words: ['--model', 'kubiya/offline'] });
  await other.process.end('SIGTERM');
  // The second start of ours finds the first one of ours, which is no stranger.
  const again = await startWorkerProcess({ home, queue: 'ours', words: ['--model', 'kubiya/offline'] });
  expect(again.process.output()).not.toContain('also has');
  await again.process.end('SIGTERM');
}, 60_000);

test('a poller that only Temporal knows is named in the log', async () => {
  const temporal = await Connection.connect({ address: server.temporalAddress });
  const worker = await startWorkerProcess({ home, queue: 'polled', words: ['--model', 'kubiya/offline'] });
  try {
    const queue = (await server.request('GET', '/api/v1/worker-queues/polled')) as { id: string };
    const poll = { namespace: 'default', taskQueue: { name: queue.id }, identity: '4711@build-1' };
    // Long polls that get nothing, as another product's worker makes them.
    const polling = temporal.withDeadline(Date.now() + 12_000, () =>
      temporal.workflowService.pollWorkflowTaskQueue(poll),
    );
    polling.catch(() => undefined);
    const [line] = await worker.process.waitFor(/^.*Another product takes tasks.*$/m, 20_000);
    expect(JSON.parse(line)).toMatchObject({ level: 40, poller: '4711@build-1' });
  } finally {
    await worker.process.end('SIGTERM');
    await temporal.close();
  }
}, 60_000);
