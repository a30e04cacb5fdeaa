// A server, a worker and the commands of a second terminal: what a person sees who has no key and no provider.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startWorkerProcess } from '../support/worker-process.ts';
import { failureOf, type Lab, queueName, startLab, streamLines } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await startLab();
}, 90_000);
afterAll(() => lab.stop(), 60_000);

const offline = ['--model', 'kubiya/offline'];
const exec = (prompt: string, words: readonly string[] = [], options: Parameters<Lab['run']>[1] = {}) =>
  lab.run(['exec', 'agent', 'default', ...offline, ...words, prompt], options);

describe('exec agent', () => {
  test('uses the worker of the other terminal; the answer is on stdout, the progress on stderr', async () => {
    const { code, stdout, stderr } = await exec('run `echo one two` and `pwd`');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Ran 2 commands; all succeeded\.\n[\s\S]*one two/);
    expect(stdout).not.toContain('> run_shell_command');
    expect(stderr).toMatch(/^> run_shell_command echo one two\n {2}\| one two\n/);
    expect(stderr).toMatch(/\ncompleted in [^\n]+\n$/);
    expect(stderr + stdout).not.toContain('\u001b');
    expect(stdout).toContain(join(lab.worker.directory, 'workspace'));
  });

  test('a failing command is exit 1 with one sentence', async () => {
    const result = await exec('run `echo before` `exit 7` `echo after`');
    expect(result.code).toBe(1);
    expect(failureOf(result).error).toContain('number 2 failed');
    expect(result.stdout).not.toContain('\nafter');
  });

  test('prompts from stdin and from a file, also big ones', async () => {
    const filler = 'x'.repeat(190_000);
    const [piped, filed] = await Promise.all([
      lab.run(['exec', 'agent', 'default', ...offline, '-'], { stdin: `${filler} run \`echo from stdin 🎉\`` }),
      (async () => {
        writeFileSync(join(lab.home.directory, 'prompt.txt'), 'run `echo from file`\n');
        return await lab.run(['exec', 'agent', 'default', ...offline, '--prompt-file', 'prompt.txt']);
      })(),
    ]);
    expect(piped).toMatchObject({ code: 0, stdout: expect.stringContaining('from stdin 🎉') });
    expect(filed).toMatchObject({ code: 0, stdout: expect.stringContaining('from file') });
  });

  test('--stream-format json: every line parses, done is last and has the usage', async () => {
    const { code, stdout } = await exec('run `echo a; echo b`', ['--stream-format', 'json']);
    expect(code).toBe(0);
    const lines = streamLines(stdout);
    const types = lines.map((line) => line['type']);
    expect(types[0]).toBe('connected');
    expect(types.indexOf('tool_started')).toBeLessThan(types.indexOf('tool_completed'));
    expect(types.filter((type) => type === 'done')).toHaveLength(1);
    expect(lines.at(-1)).toMatchObject({ type: 'done', status: 'completed', usage: expect.any(Object) });
    expect(lines.at(-1)?.['duration_ms']).toBeGreaterThan(0);
    expect(new Set(lines.map((line) => line['execution_id'])).size).toBe(1);
  });

  test('--output json is one object, also of a failure', async () => {
    const { code, stdout } = await exec('run `false`', ['--output', 'json']);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ status: 'failed', error: expect.stringContaining('failed') });
  });

  test('a pipe that closes early is no error, and the execution goes on', async () => {
    const { code, stderr } = await exec('run `echo first` `sleep 1` `echo last`', [], {
      during: async (child) => {
        child.stdout?.destroy();
        await Promise.resolve();
      },
    });
    expect({ code, failed: /error|EPIPE/.test(stderr) }).toEqual({ code: 0, failed: false });
  });

  test('colour only where it is asked for, and NO_COLOR wins', async () => {
    const coloured = await exec('run `echo c`', [], { environment: { FORCE_COLOR: '1' } });
    expect(coloured.stderr).toContain('\u001b[3');
    const plain = await exec('run `echo c`', [], { environment: { FORCE_COLOR: '1', NO_COLOR: '1' } });
    expect(plain.stderr).not.toContain('\u001b');
  });
});

describe('executions that outlive their command', () => {
  test('--detach prints the id alone; attach, list, get and logs find it', async () => {
    const { code, stdout, stderr } = await exec('run `sleep 1; echo slept`', ['--detach']);
    expect(code).toBe(0);
    const id = stdout.trim();
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(stderr).toContain(`kubiya exec attach ${id}`);
    const attached = await lab.run(['exec', 'attach', id]);
    expect(attached.code).toBe(0);
    expect(attached.stdout).toContain('slept');
    const again = await lab.run(['exec', 'attach', id]);
    expect({ code: again.code, stdout: again.stdout }).toEqual({ code: 0, stdout: attached.stdout });
    const list = JSON.parse((await lab.run(['execution', 'list', '--json'])).stdout) as {
      id: string;
      status: string;
    }[];
    expect(list.find((one) => one.id === id)?.status).toBe('completed');
    expect((await lab.run(['execution', 'get', id])).stdout).toContain('completed');
    const logs = await lab.run(['execution', 'logs', id]);
    expect(logs).toMatchObject({ code: 0, stdout: expect.stringContaining('slept') });
  });

  test('the same idempotency key twice is one execution', async () => {
    const counter = join(lab.home.directory, 'counter');
    const start = () =>
      exec(`run \`echo once >> ${counter}; sleep 1\``, ['--idempotency-key', 'k-1', '--output', 'json']);
    const [first, second] = await Promise.all([start(), start()]);
    expect([first.code, second.code]).toEqual([0, 0]);
    const idOf = (text: string) => (JSON.parse(text) as { execution_id: string }).execution_id;
    expect(idOf(first.stdout)).toBe(idOf(second.stdout));
    expect(readFileSync(counter, 'utf8')).toBe('once\n');
  });

  test('execution cancel ends it; the one that follows exits 1, cancelling twice says why not', async () => {
    const { stdout } = await exec('run `sleep 60`', ['--detach']);
    const id = stdout.trim();
    const followed = lab.run(['exec', 'attach', id], {
      during: async (_child, printed) => {
        while (!printed().stderr.includes('sleep 60')) await new Promise((done) => setTimeout(done, 50));
        expect((await lab.run(['execution', 'cancel', id])).code).toBe(0);
      },
    });
    const { code, stderr } = await followed;
    expect({ code, last: stderr.trimEnd().split('\n').at(-1) }).toEqual({
      code: 1,
      last: expect.stringMatching(/^cancelled in /),
    });
    const twice = await lab.run(['execution', 'cancel', id]);
    expect(twice.code).toBe(4);
    expect(failureOf(twice).error).toContain('cancelled');
  });
});

describe('a second worker of the same queue', () => {
  test.each(['name', 'id'])('by its %s exits 2 and names the pid of the first', async (by) => {
    const queues = (await lab.server.request('GET', '/api/v1/worker-queues')) as { id: string; name: string }[];
    const id = queues.find(({ name }) => name === queueName)?.id ?? '';
    const result = await lab.run(['worker', 'start', '--queue-id', by === 'id' ? id : queueName]);
    expect(result.code).toBe(2);
    expect(failureOf(result).error).toContain(`${lab.worker.process.pid}`);
    expect(lab.worker.process.hasExited).toBe(false);
  });

  test('of another queue runs beside it and takes what is sent there', async () => {
    const other = await startWorkerProcess({ home: lab.home, queue: 'other' });
    try {
      const there = await exec('run `pwd`', ['--queue', 'other']);
      expect(there.stdout).toContain(join(lab.home.kubiyaHome, 'workers/other/workspace'));
    } finally {
      await other.process.end('SIGTERM');
    }
  });
});
