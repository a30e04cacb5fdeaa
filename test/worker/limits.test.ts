// Limits of a worker's life, through the built program: each ends it in order, with its reason and its exit code.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHome, type Home } from '../support/binary.ts';
import { liveStatus } from '../support/live-status.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';

const limitMs = 30_000;
/** They run at once: three of them wait for the better part of it. */
const testLimitMs = 45_000;
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

const start = (queue: string, words: readonly string[], environment: Record<string, string> = {}) =>
  startWorkerProcess({ home, queue, words: ['--model', 'kubiya/offline', ...words], environment });
const exitOf = async (worker: WorkerProcess): Promise<number | null> => (await worker.process.exited).code;

test.concurrent(
  '--idle-timeout: not while a command runs, soon after it',
  async () => {
    const worker = await start('idle', ['--idle-timeout', '2s']);
    const id = await server.execute('run `sleep 4`', 'idle');
    expect(await server.ended(id, limitMs)).toMatchObject({ status: 'completed' });
    expect(await exitOf(worker)).toBe(0);
    expect(worker.process.output()).toContain('There was no work for 2s (--idle-timeout)');
  },
  testLimitMs,
);

test.concurrent(
  '--idle-timeout: a worker that never gets work ends as well',
  async () => {
    expect(await exitOf(await start('bored', ['--idle-timeout', '1s']))).toBe(0);
  },
  testLimitMs,
);

test.concurrent(
  '--max-uptime: what runs is drained first',
  async () => {
    const worker = await start('uptime', ['--max-uptime', '2s']);
    const id = await server.execute('run `sleep 3; echo drained`', 'uptime');
    expect(await exitOf(worker)).toBe(0);
    expect(worker.process.output()).toMatch(/The worker has run for 2s \(--max-uptime\): no new work is taken/);
    expect(worker.process.output()).toMatch(/"calls_finished":1,"calls_stopped":0,"msg":"Drained"/);
    // Its command is done; the rest is another worker's.
    expect((await server.execution(id)).status).toBe('running');
    const next = await start('uptime', []);
    expect(await server.ended(id, limitMs)).toMatchObject({ response: expect.stringContaining('drained') });
    expect((await next.process.end('SIGTERM')).code).toBe(0);
  },
  testLimitMs,
);

test.concurrent(
  '--max-memory: exit 7 with the numbers',
  async () => {
    const worker = await start('memory', ['--max-memory', '64Mi']);
    expect(await exitOf(worker)).toBe(7);
    expect(worker.process.output()).toMatch(/The worker uses \d+ MB of memory, more than the 64 of --max-memory/);
  },
  testLimitMs,
);

test.concurrent(
  'CPU_LIMIT lowers the concurrency, once said, and a given value stands',
  async () => {
    const small = await start('small', [], { CPU_LIMIT: '200m' });
    expect((await liveStatus(small)).slots).toEqual({ used: 0, max: 2 });
    expect(small.process.output().match(/At most 2 calls run at once instead of 10/g)).toHaveLength(1);
    expect((await small.process.end('SIGTERM')).code).toBe(0);
    const asked = await start('small', [], { CPU_LIMIT: '200m', MAX_CONCURRENT_ACTIVITIES: '12' });
    expect((await liveStatus(asked)).slots.max).toBe(12);
    expect((await asked.process.end('SIGTERM')).code).toBe(0);
  },
  testLimitMs,
);

test.concurrent(
  'ACTIVITY_TIMEOUT below a tool’s own limit is said, in the log and to whoever reads the execution',
  async () => {
    const worker = await start('short', [], { ACTIVITY_TIMEOUT: '30' });
    const ids = [await server.execute('run `echo a`', 'short'), await server.execute('run `echo b`', 'short')];
    for (const id of ids) {
      await server.ended(id, limitMs);
      const notices = (await server.events(id)).filter(({ event_type }) => event_type === 'notice');
      expect(JSON.stringify(notices)).toMatch(/ACTIVITY_TIMEOUT ends calls of run_shell_command after 30s/);
    }
    expect(worker.process.output().match(/ACTIVITY_TIMEOUT ends calls of run_shell_command/g)).toHaveLength(1);
    expect((await worker.process.end('SIGTERM')).code).toBe(0);
  },
  testLimitMs,
);
