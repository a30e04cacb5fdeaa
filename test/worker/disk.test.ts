// A disk that is full, for each place that we write to, before the start and after it: small file systems in a mount namespace.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createHome, type Home } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { runCommand } from '../support/run-binary.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';
import { failureOf } from './lab.ts';

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

const offline = ['--model', 'kubiya/offline'];

/** Words that run a program where `directory` is a file system of its own of `size`. */
function withTmpfs(directory: string, size: string, isFull: boolean): string[] {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const mount = `mount -t tmpfs -o size=${size},mode=700 tmpfs '${directory}'`;
  const fill = isFull ? `head -c 10M /dev/zero > '${directory}/fill' 2> /dev/null || true` : 'true';
  return ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', `set -e; ${mount}; ${fill}; exec "$@"`, 'sh'];
}

/** Commands whose outputs fill some blocks each. */
const largeOutputs = Array.from({ length: 12 }, () => '`seq 1 3000`').join(' ');

/** Takes every block that is freed, as soon as the file is there: reports that were delivered give theirs back. */
async function keepFull(path: string): Promise<ChildProcess> {
  const program = `
import os, sys, time
print('ready', flush=True)
while not os.path.exists(sys.argv[1]): time.sleep(0.001)
file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
while True:
    try: os.write(file, b'x' * 4096)
    except OSError: pass`;
  const filler = spawn('python3', ['-c', program, path], { stdio: ['ignore', 'pipe', 'ignore'] });
  await once(filler.stdout, 'data');
  return filler;
}

const placeOf = (queue: string, name: string) => join(home.kubiyaHome, 'workers', queue, name);

describe('full before the start is exit 6, one sentence and a hint', () => {
  test.each(['journal', 'logs'])('the %s of a worker', async (name) => {
    const queue = `before-${name}`;
    const result = await runCommand(['worker', 'start', '--queue-id', queue], {
      home,
      prefix: withTmpfs(placeOf(queue, name), '8k', true),
    });
    expect(result.code).toBe(6);
    const { error, hint } = failureOf(result);
    expect(error).toMatch(/no space left|full/);
    expect(hint).toMatch(/free some space/);
  });

  test('the directory of all workers, for exec --local', async () => {
    const result = await runCommand(['exec', '--local', '--yes', ...offline, 'run `true`'], {
      home,
      prefix: withTmpfs(join(home.kubiyaHome, 'workers'), '4k', true),
    });
    expect(result.code).toBe(6);
    expect(failureOf(result).error).toMatch(/no space left|full/);
  });

  test('the cache', async () => {
    const own = createHome();
    try {
      const cache = join(own.kubiyaHome, 'cache');
      const result = await runCommand(['exec', '--local', '--yes', ...offline, 'run `true`'], {
        home: own,
        prefix: withTmpfs(cache, '4m', true),
      });
      expect(result.code).toBe(6);
      const { error, hint } = failureOf(result);
      expect(error).toMatch(/no space left|full/);
      expect(hint).toContain('KUBIYA_HOME');
      await own.waitUntilEmpty(2_000);
    } finally {
      own.remove();
    }
  });
});

describe('full after the start', () => {
  async function withWorker(name: string, size: string, act: (worker: WorkerProcess, queue: string) => Promise<void>) {
    const queue = `after-${name}`;
    const worker = await startWorkerProcess({ home, queue, prefix: withTmpfs(placeOf(queue, name), size, false) });
    try {
      await act(worker, queue);
      expect(worker.process.hasExited).toBe(false);
    } finally {
      expect((await worker.process.end('SIGTERM')).code).toBe(0);
    }
  }
  const exec = (queue: string, prompt: string) =>
    runCommand(['exec', 'agent', 'default', '--queue', queue, ...offline, prompt], { home });

  test('the journal: no call starts that cannot be written down, exit 1, and it works again with space', async () => {
    await withWorker('journal', '1m', async (worker, queue) => {
      const journal = placeOf(queue, 'journal');
      const mark = join(home.directory, 'mark');
      const filler = await keepFull(`/proc/${worker.process.pid}/root${journal}/fill`);
      // A report that is delivered gives its block back, and sometimes the journal is faster than the filler: then the disk
      // was not full, the call was written down and may run. With outputs that fill a block each, this cannot go on.
      const prompt = `run \`head -c 2M /dev/zero > ${journal}/fill; true\` ${largeOutputs} \`echo too far > ${mark}\``;
      const result = await exec(queue, prompt).finally(() => filler.kill('SIGKILL'));
      expect(result.code).toBe(1);
      const { error, hint } = failureOf(result);
      expect(error).toMatch(/no space left|full|disk/);
      expect(hint).toBeDefined();
      expect(await Bun.file(mark).exists()).toBe(false);
    });
  });

  test('everything of exec --local: exit 1 with a sentence, and the directory goes all the same', async () => {
    const own = createHome();
    let filler: ChildProcess | undefined;
    try {
      const workers = join(own.kubiyaHome, 'workers');
      const fill = join(workers, 'fill');
      const result = await runCommand(
        ['exec', '--local', '--yes', ...offline, `run \`touch ${fill}; sleep 0.5\` ${largeOutputs} \`true\``],
        {
          home: own,
          prefix: withTmpfs(workers, '4m', false),
          during: async (child) => void (filler = await keepFull(join(`/proc/${child.pid}/root`, fill))),
        },
      );
      filler?.kill('SIGKILL');
      expect(result.code).toBe(1);
      expect(failureOf(result).error).toMatch(/no space left|full/);
      await own.waitUntilEmpty(2_000);
    } finally {
      filler?.kill('SIGKILL');
      own.remove();
    }
  });

  test('the log: lines are lost, nothing else is', async () => {
    await withWorker('logs', '1m', async (_worker, queue) => {
      const logs = placeOf(queue, 'logs');
      const result = await exec(queue, `run \`head -c 2M /dev/zero > ${logs}/fill; true\` \`echo went on\``);
      expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('went on') });
    });
  });

  test('the workspace: the tool says so and the agent fails with 1', async () => {
    await withWorker('workspace', '1m', async (_worker, queue) => {
      const result = await exec(queue, 'run `set -e; head -c 2M /dev/zero > fill`');
      expect(result.code).toBe(1);
      failureOf(result);
      expect(result.stdout).toMatch(/No space left/);
    });
  });
});
