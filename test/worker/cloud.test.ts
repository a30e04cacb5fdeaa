// The cloud profile: a control plane somewhere else, a key, another home, and `exec --local` that borrows a queue there.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHome, type Home, startBinary } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { type CommandOptions, runCommand } from '../support/run-binary.ts';
import { until } from '../support/until.ts';
import { failureOf } from './lab.ts';

let there: Home;
let server: LocalServer;
let here: Home;
beforeAll(async () => {
  there = createHome();
  here = createHome();
  server = await startLocalServer({ home: there });
}, 90_000);
afterAll(async () => {
  await server.stop();
  await Promise.all([there.waitUntilEmpty(3_000), here.waitUntilEmpty(3_000)]);
  there.remove();
  here.remove();
}, 60_000);

const offline = ['--model', 'kubiya/offline'];
const cloud = (): Record<string, string> => ({ KUBIYA_API_KEY: server.token, CONTROL_PLANE_URL: server.url });
const local = (prompt: string, options: Partial<CommandOptions> = {}) =>
  runCommand(['exec', '--local', '--yes', ...offline, prompt], { home: here, environment: cloud(), ...options });

/** The queue of the newest execution that is not `not`, waited for. */
async function borrowedQueue(not: ReadonlySet<string>): Promise<string> {
  let id: string | undefined;
  await until(async () => (id = (await queueIds()).find((candidate) => !not.has(candidate))) !== undefined);
  return id ?? '';
}
async function queueIds(): Promise<string[]> {
  const executions = (await server.request('GET', '/api/v1/executions')) as { worker_queue_id?: string | null }[];
  return executions.flatMap(({ worker_queue_id: id }) => (typeof id === 'string' ? [id] : []));
}
const queueStatus = async (id: string): Promise<number> =>
  (await fetch(`${server.url}/api/v1/worker-queues/${id}`, { headers: { authorization: `Bearer ${server.token}` } }))
    .status;

let known: ReadonlySet<string>;
beforeEach(async () => {
  known = new Set(await queueIds());
});

async function expectNothingLeft(queue: string): Promise<void> {
  expect(await queueStatus(queue)).toBe(404);
  await here.waitUntilEmpty(2_000);
  expect(readdirSync(join(here.kubiyaHome, 'workers'))).toEqual([]);
  expect(existsSync(join(here.kubiyaHome, 'local'))).toBe(false);
}

describe('exec --local', () => {
  test('makes a queue there, works here, and takes the queue away', async () => {
    let queue = '';
    const result = await local('run `sleep 1; pwd`', {
      during: async () => {
        queue = await borrowedQueue(known);
        const made = await server.request('GET', `/api/v1/worker-queues/${queue}`);
        expect(made).toMatchObject({ ephemeral: true, name: expect.stringMatching(/^local-exec-/) });
        expect((made as { auto_cleanup_after_seconds: number }).auto_cleanup_after_seconds).toBeGreaterThan(0);
      },
    });
    expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining(here.kubiyaHome) });
    expect(result.stderr).not.toContain('private control plane');
    await expectNothingLeft(queue);
  });

  test('also when the command fails', async () => {
    const result = await local('run `false`');
    expect(result.code).toBe(1);
    await expectNothingLeft(await borrowedQueue(known));
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'also after %s, when the execution is cancelled there',
    async (signal) => {
      const result = await local('run `sleep 300`', {
        during: async (child, printed) => {
          await until(() => printed().stderr.includes('> run_shell_command'));
          child.kill(signal);
        },
      });
      expect(result.code).toBe(130);
      const executions = (await server.request('GET', '/api/v1/executions')) as { status: string }[];
      expect(executions[0]?.status).toBe('cancelled');
      await expectNothingLeft(await borrowedQueue(known));
    },
  );

  test('kill -9 leaves no process and no directory; the queue is one that the server removes by itself', async () => {
    const words = ['exec', '--local', '--yes', ...offline, 'run `sleep 300`'];
    const running = startBinary(words, { home: here, environment: cloud() });
    await running.waitFor(/> run_shell_command/);
    await running.end('SIGKILL');
    await here.waitUntilEmpty(2_000);
    await until(() => readdirSync(join(here.kubiyaHome, 'workers')).length === 0, { limitMs: 2_000 });
    const queue = await server.request('GET', `/api/v1/worker-queues/${await borrowedQueue(known)}`);
    expect(queue).toMatchObject({ ephemeral: true, auto_cleanup_after_seconds: expect.any(Number) });
  });
});

describe('a key', () => {
  test('that is wrong is 3 at once, for every command, and nothing is made', async () => {
    const environment = { ...cloud(), KUBIYA_API_KEY: 'wrong-key-0123456789' };
    for (const words of [
      ['exec', '--yes', 'hi'],
      ['exec', '--local', '--yes', ...offline, 'run `true`'],
      ['worker', 'start', '--queue-id', 'default'],
      ['agent', 'list'],
      ['execution', 'get', 'x'],
    ]) {
      const result = await runCommand(words, { home: here, environment });
      expect({ words, code: result.code }).toEqual({ words, code: 3 });
      expect(failureOf(result).hint).toMatch(/KUBIYA_API_KEY/);
      expect(result.stdout + result.stderr).not.toContain('wrong-key-0123456789');
      expect(result.durationMs).toBeLessThan(10_000);
    }
    await here.waitUntilEmpty(2_000);
    expect(new Set(await queueIds())).toEqual(new Set(known));
  });

  test('in a file works for a worker and for exec', async () => {
    const file = join(here.directory, 'key');
    writeFileSync(file, `${server.token}\n`, { mode: 0o600 });
    const environment = { KUBIYA_API_KEY_FILE: file, CONTROL_PLANE_URL: server.url };
    const worker = startBinary(['worker', 'start', '--queue-id', 'default'], { home: here, environment });
    try {
      await worker.waitFor(/Ready/);
      const result = await runCommand(['exec', '--yes', ...offline, 'run `echo from here`'], {
        home: here,
        environment,
      });
      expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('from here') });
    } finally {
      expect((await worker.end('SIGTERM')).code).toBe(0);
    }
    expect(worker.output()).not.toContain(server.token);
  });

  test('a queue that does not exist is 4 and lists the ones that do', async () => {
    const result = await runCommand(['worker', 'start', '--queue-id', 'nowhere'], { home: here, environment: cloud() });
    expect(result.code).toBe(4);
    expect(failureOf(result).error).toMatch(/nowhere.*default/);
  });
});
