// Several at once: workers on two queues, starts that meet on one queue by name and by id, and fifty questions about the state.
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import type { WorkerStatus } from '../../src/protocol/instance.ts';
import { createHome, type Home, type RunningBinary, startBinary } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { type CommandResult, runCommand } from '../support/run-binary.ts';
import { until } from '../support/until.ts';

let home: Home;
let server: LocalServer;
beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home });
}, 90_000);
afterAll(async () => {
  await server.stop();
  await home.waitUntilEmpty(3_000);
  home.remove();
}, 60_000);
beforeEach(async () => {
  expect((await run(['worker', 'stop', '--all'])).code).toBe(0);
});

const run = (words: readonly string[]): Promise<CommandResult> => runCommand(words, { home });
const startWords = (queue: string): string[] => ['worker', 'start', '--queue-id', queue, '--webui-port', '0'];
const daemon = (queue: string): Promise<CommandResult> => run([...startWords(queue), '-d']);
const foreground = (queue: string): RunningBinary => startBinary(startWords(queue), { home });

async function statusOf(queue: string): Promise<{ readonly code: number; readonly status: WorkerStatus }> {
  const { code, stdout } = await run(['worker', 'status', '--queue-id', queue, '--json']);
  return { code, status: JSON.parse(stdout) as WorkerStatus };
}

async function queueId(name: string): Promise<string> {
  const queues = (await server.request('GET', '/api/v1/worker-queues')) as { id: string; name: string }[];
  const found = queues.find((queue) => queue.name === name);
  if (found === undefined) throw new Error(`there is no queue ${name}`);
  return found.id;
}

/** Processes that poll: a worker's words without those of its supervisor. */
function workerProcesses(): readonly string[] {
  return home.processes().filter((line) => line.includes(' worker start '));
}

test('two workers on two queues know nothing of each other', async () => {
  const [first, second] = await Promise.all([daemon('left'), daemon('right')]);
  expect([first.code, second.code]).toEqual([0, 0]);
  const [left, right] = await Promise.all([statusOf('left'), statusOf('right')]);
  expect([left, right]).toMatchObject([
    { code: 0, status: { queue: 'left', healthy: true } },
    { code: 0, status: { queue: 'right', healthy: true } },
  ]);
  expect(left.status.worker_pid).not.toBe(right.status.worker_pid);
  expect(left.status.webui_url).not.toBe(right.status.webui_url);
  expect(await run(['worker', 'status'])).toMatchObject({ code: 2, stderr: expect.stringContaining('left, right') });
  const listed = JSON.parse((await run(['worker', 'list', '--json'])).stdout) as WorkerStatus[];
  expect(listed.map(({ queue, healthy }) => [queue, healthy])).toEqual([
    ['left', true],
    ['right', true],
  ]);
  expect((await run(['worker', 'stop', '--queue-id', 'left'])).code).toBe(0);
  expect((await statusOf('left')).status.state).toBe('stopped');
  expect((await statusOf('right')).code).toBe(0);
});

test('a second start is refused with the pid of the first, by name and by id, in both modes', async () => {
  expect((await daemon('default')).code).toBe(0);
  const { status } = await statusOf('default');
  const id = await queueId('default');
  for (const queue of ['default', id]) {
    const second = await daemon(queue);
    expect(second.code).toBe(2);
    expect(second.stderr).toMatch(new RegExp(`\\b(${status.pid}|${status.worker_pid})\\b`));
    const other = foreground(queue);
    expect((await other.exited).code).toBe(2);
    expect(other.output()).toMatch(new RegExp(`\\b(${status.pid}|${status.worker_pid})\\b`));
  }
  // What was refused has changed nothing: not the records, not the processes.
  expect(await statusOf(id)).toMatchObject({ code: 0, status: { worker_pid: status.worker_pid, queue: 'default' } });
  expect(workerProcesses()).toHaveLength(1);
  const listed = JSON.parse((await run(['worker', 'list', '--json'])).stdout) as WorkerStatus[];
  expect(listed.map(({ queue }) => queue)).not.toContain(id);
}, 60_000);

test('of four starts in the same moment one wins', async () => {
  const id = await queueId('default');
  const inForeground = [foreground('default'), foreground(id)];
  const inBackground = [daemon('default'), daemon(id)];
  const codes: (number | null)[] = [];
  for (const { exited } of inForeground) void exited.then(({ code }) => codes.push(code));
  for (const started of inBackground) void started.then(({ code }) => codes.push(code));
  const isDecided = async (): Promise<boolean> => {
    const losers = codes.filter((code) => code === 2).length;
    // The command that started the winner counts as a process until it has returned.
    if (workerProcesses().length !== 1) return false;
    return losers === 3 && (await statusOf('default').catch(() => undefined))?.code === 0;
  };
  await until(isDecided, {
    limitMs: 40_000,
    intervalMs: 200,
    what: () => `three are refused and one runs; ended: ${codes.join(', ')}\n${home.processes().join('\n')}`,
  });
  expect(codes.filter((code) => code !== 2 && code !== 0)).toEqual([]);
  expect(workerProcesses()).toHaveLength(1);
  const { status } = await statusOf('default');
  expect(workerProcesses()[0]).toStartWith(`${status.worker_pid} `);
  expect((await run(['worker', 'stop', '--queue-id', 'default'])).code).toBe(0);
  await Promise.all(inForeground.map(({ exited }) => exited));
}, 60_000);

test('fifty questions at once get fifty right answers', async () => {
  expect((await daemon('default')).code).toBe(0);
  const startMs = performance.now();
  const all = await Promise.all(Array.from({ length: 50 }, () => statusOf('default')));
  expect(performance.now() - startMs).toBeLessThan(8_000);
  const pids = new Set(all.map(({ status }) => `${status.pid} ${status.worker_pid} ${status.state}`));
  expect(pids.size).toBe(1);
  expect(all.filter(({ code, status }) => code === 0 && status.healthy)).toHaveLength(50);
  // While it stops, each answer is one of the two truths, and says by its exit code which.
  const stop = run(['worker', 'stop', '--queue-id', 'default']);
  const during = await Promise.all(Array.from({ length: 50 }, () => statusOf('default')));
  expect((await stop).code).toBe(0);
  for (const { code, status } of during) {
    expect(['running', 'draining', 'stopped']).toContain(status.state);
    expect(code).toBe(status.healthy ? 0 : 1);
  }
  expect((await statusOf('default')).status).toMatchObject({ state: 'stopped', pid: null, worker_pid: null });
});
