// What goes wrong before and during an execution: the exit code, one sentence, and nothing left behind.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createHome, type Home, startBinary } from '../support/binary.ts';
import { type CommandOptions, runCommand } from '../support/run-binary.ts';
import { until } from '../support/until.ts';
import { failureOf } from './lab.ts';

let home: Home;
beforeAll(() => {
  home = createHome();
});
afterAll(() => home.remove());

const offline = ['--model', 'kubiya/offline'];
const run = (words: readonly string[], options: Partial<CommandOptions> = {}) =>
  runCommand(words, { home, ...options });
const local = (prompt: string, words: readonly string[] = offline, options: Partial<CommandOptions> = {}) =>
  run(['exec', '--local', '--yes', ...words, prompt], options);

/** Directories of temporary workers, processes and listeners: none after a command has ended. */
async function expectNothingLeft(): Promise<void> {
  await home.waitUntilEmpty(3_000);
  const workers = join(home.kubiyaHome, 'workers');
  expect(existsSync(workers) ? readdirSync(workers) : []).toEqual([]);
  expect(existsSync(join(home.kubiyaHome, 'local'))).toBe(false);
}

/** A port on which nobody listens: it was ours a moment ago. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

describe('exec --local', () => {
  test('a failing command is 1', async () => {
    const result = await local('run `ls /nonexistent`');
    expect(result.code).toBe(1);
    expect(failureOf(result).error).toContain('failed');
    await expectNothingLeft();
  });

  test('no provider is 6 and names what was looked for and the way out', async () => {
    const result = await local('hello', []);
    expect(result.code).toBe(6);
    const { error, hint } = failureOf(result);
    expect(error).toMatch(/ANTHROPIC_API_KEY.*OPENAI_API_KEY.*Ollama/);
    expect(hint).toContain('--model kubiya/offline');
    await expectNothingLeft();
  });

  test('an unknown agent is 4', async () => {
    const result = await run(['exec', 'agent', 'nobody', '--local', '--yes', ...offline, 'hi']);
    expect(result.code).toBe(4);
    expect(failureOf(result).error).toContain('nobody');
    await expectNothingLeft();
  });

  test('a working directory that does not exist is 6 with a hint', async () => {
    const result = await local('run `pwd`', [...offline, '--cwd', '/nonexistent/place']);
    expect(result.code).toBe(6);
    expect(failureOf(result).hint).toContain('--cwd');
    await expectNothingLeft();
  });

  test('--timeout is 9 and ends the running tool', async () => {
    const result = await local('run `sleep 300`', [...offline, '--timeout', '1s']);
    expect(result.code).toBe(9);
    expect(result.stderr).toMatch(/limit of 1s is over[\s\S]*\n(cancelled|failed) in/);
    await expectNothingLeft();
  });

  test('Ctrl+C cancels, waits for the end and is 130', async () => {
    const result = await local('run `sleep 300`', offline, {
      during: async (child, printed) => {
        await until(() => printed().stderr.includes('> run_shell_command'));
        child.kill('SIGINT');
      },
    });
    expect(result.code).toBe(130);
    expect(result.stderr).toMatch(/cancelling the execution; interrupt again to leave at once[\s\S]*\ncancelled in/);
    await expectNothingLeft();
  });

  test('a second Ctrl+C leaves although the tool resists, and the clean-up still runs', async () => {
    const result = await local('run `trap "" TERM INT; while :; do sleep 0.1; done`', offline, {
      during: async (child, printed) => {
        await until(() => printed().stderr.includes('> run_shell_command'));
        child.kill('SIGINT');
        await until(() => printed().stderr.includes('interrupt again'));
        child.kill('SIGINT');
      },
    });
    expect(result.code).toBe(130);
    expect(result.stderr).toContain('left before the execution ended');
    await expectNothingLeft();
  });

  test.each([0, 60, 150, 300, 500, 800, 1_200])('Ctrl+C %i ms after the start is 130', async (delayMs) => {
    const result = await local('run `sleep 300`', offline, {
      during: async (child) => {
        await new Promise((done) => setTimeout(done, delayMs));
        child.kill('SIGINT');
      },
    });
    expect(result.code).toBe(130);
    await expectNothingLeft();
  });

  test('kill -9 leaves no process and no directory 2 s later', async () => {
    const running = startBinary(['exec', '--local', '--yes', ...offline, 'run `setsid sleep 300`'], { home });
    await running.waitFor(/> run_shell_command/);
    await running.end('SIGKILL');
    await home.waitUntilEmpty(2_000);
    await until(() => readdirSync(join(home.kubiyaHome, 'workers')).length === 0, { limitMs: 2_000 });
  });
});

describe('hostile words', () => {
  test.each([
    ['an empty prompt', ['exec', '--local', ...offline, ''], 2],
    ['a blank prompt', ['exec', '--local', ...offline, ' \n\t'], 2],
    ['no prompt', ['exec', '--local', ...offline], 2],
    ['a line continuation that was no end of line', ['exec', '--local', ...offline, '\\'], 2],
    ['an empty stdin', ['exec', '--local', ...offline, '-'], 2],
    ['a prompt file that is a directory', ['exec', '--local', ...offline, '--prompt-file', '/'], 2],
    ['a model nobody knows', ['exec', '--local', '--model', 'no-such-model', 'hi'], 6],
    ['a timeout of nonsense', ['exec', '--local', ...offline, '--timeout', 'soon', 'hi'], 2],
    ['an execution id with a path in it', ['exec', 'attach', '../../etc/passwd'], 5],
    ['a queue named ..', ['worker', 'start', '--queue-id', '..'], 2],
    ['a queue name of 300 bytes', ['worker', 'start', '--queue-id', 'q'.repeat(300)], 2],
    ['no queue', ['worker', 'start'], 2],
    ['a worker type that does not exist', ['worker', 'start', '--queue-id', 'q', '--type', 'cloud'], 2],
  ] as const)('%s', async (_name, words, code) => {
    const result = await run(words);
    expect(result).toMatchObject({ code, stdout: '' });
    failureOf(result);
    await expectNothingLeft();
  });

  test('binary on stdin is a prompt like any other', async () => {
    // Every byte but the backtick, which would begin a command.
    const bytes = Uint8Array.from({ length: 4_096 }, (_, index) => index % 256).map((byte) =>
      byte === 0x60 ? 0 : byte,
    );
    const result = await run(['exec', '--local', '--yes', ...offline, '-'], {
      stdin: Buffer.concat([bytes, Buffer.from(' run `echo survived`')]),
    });
    expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('survived') });
    await expectNothingLeft();
  });

  test('a prompt beyond the limit says the limit', async () => {
    const result = await run(['exec', '--local', ...offline, '-'], { stdin: 'x'.repeat(5_000_000) });
    expect(result.code).toBe(2);
    expect(failureOf(result).error).toMatch(/too long: at most \d+ characters are taken/);
  });

  test('every number of worker start that is wrong is in one message', async () => {
    const environment = {
      QUEUE_ID: 'q',
      HEARTBEAT_INTERVAL: '5',
      MAX_CONCURRENT_ACTIVITIES: 'many',
      MAX_CONCURRENT_WORKFLOWS: '0',
      ACTIVITY_TIMEOUT: '-1',
      KUBIYA_DRAIN_TIMEOUT: 'later',
      KUBIYA_MAX_LOG_SIZE: '1',
      KUBIYA_MAX_LOG_BACKUPS: '1.5',
      LOG_LEVEL: 'loud',
      KUBIYA_DEBUG: 'perhaps',
    };
    const result = await run(['worker', 'start'], { environment });
    expect(result.code).toBe(6);
    const { error } = failureOf(result);
    expect(error).toMatch(/^9 settings are wrong/);
    for (const name of Object.keys(environment).slice(1)) expect(result.stderr).toContain(`\n  ${name} `);
    await expectNothingLeft();
  });

  test('every flag of worker start that is wrong is in one message too', async () => {
    const flags = ['--max-log-size', 'big', '--max-log-backups', '-1', '--drain-timeout', 'later', '--type', 'cloud'];
    const result = await run(['worker', 'start', '--queue-id', 'q', ...flags]);
    expect(result.code).toBe(2);
    expect(failureOf(result).error).toMatch(/^4 settings are wrong/);
    for (const flag of flags.filter((word) => word.startsWith('--'))) expect(result.stderr).toContain(`\n  ${flag} `);
    await expectNothingLeft();
  });

  test.each(['../..', 'a/b', 'snowman ☃ 🎉', '%2e%2e', '-dash', '.hidden'])(
    'a queue named %p stays inside the workers’ directory',
    async (name) => {
      const own = createHome();
      try {
        const running = startBinary(['worker', 'start', `--queue-id=${name}`], { home: own });
        await running.waitFor(/Ready/);
        expect((await running.end('SIGTERM')).code).toBe(0);
        expect(readdirSync(join(own.kubiyaHome, 'workers'))).toHaveLength(1);
        expect(readdirSync(own.directory)).toEqual(['.kubiya']);
        await own.waitUntilEmpty(2_000);
      } finally {
        own.remove();
      }
    },
  );
});

describe('a control plane', () => {
  test('that is down is 5 and names the address', async () => {
    const url = `http://127.0.0.1:${await closedPort()}`;
    const environment = { KUBIYA_API_KEY: 'k', CONTROL_PLANE_URL: url };
    for (const words of [
      ['exec', '--yes', 'hi'],
      ['exec', '--local', '--yes', ...offline, 'run `true`'],
      ['agent', 'list'],
      ['execution', 'get', 'x'],
    ]) {
      const result = await run(words, { environment });
      expect({ words, code: result.code }).toEqual({ words, code: 5 });
      expect(failureOf(result).error).toContain(url);
    }
    await expectNothingLeft();
  }, 30_000); // each of them tries again for a while

  test('none at all is 5 and says how to get one', async () => {
    const result = await run(['exec', '--yes', 'hi']);
    expect(result.code).toBe(5);
    expect(failureOf(result).hint).toMatch(/kubiya server start.*--local/);
  });
});

describe('a home', () => {
  test('HOME unset is 6 and names KUBIYA_HOME', async () => {
    const result = await local('run `true`', offline, { environment: { HOME: undefined, KUBIYA_HOME: undefined } });
    expect(result.code).toBe(6);
    expect(failureOf(result).hint).toContain('KUBIYA_HOME');
  });

  test('HOME unset with KUBIYA_HOME works', async () => {
    const result = await local('run `echo fine`', offline, { environment: { HOME: undefined } });
    expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('fine') });
  });

  test('a path where a file lies is 6', async () => {
    const file = join(home.directory, 'file');
    writeFileSync(file, '');
    const result = await local('run `true`', offline, { environment: { KUBIYA_HOME: file } });
    expect(result.code).toBe(6);
    failureOf(result);
    expect(readFileSync(file, 'utf8')).toBe('');
  });

  test('a relative one is made absolute', async () => {
    mkdirSync(join(home.directory, 'here'), { recursive: true });
    const result = await local('run `echo fine`', offline, {
      cwd: join(home.directory, 'here'),
      environment: { KUBIYA_HOME: './own' },
    });
    expect(result.code).toBe(0);
    expect(readdirSync(join(home.directory, 'here'))).toEqual(['own']);
  });
});
