// `kubiya exec` as a real process: queue choice, prompt sources, interrupts, time limits, detaching, servers that go away.
import { describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chunk, defaultQueue, done, executionId } from '../support/scripted-control-plane.ts';
import { type CliOptions, runCli, until } from './run-cli.ts';
import { conversation, exec, final, start } from './scripted-exec.ts';

describe('queue choice', () => {
  const queue = (name: string, workers: number) => ({
    ...defaultQueue,
    id: `id-${name}`,
    name,
    active_workers: workers,
  });
  const chosen = async (queues: readonly Record<string, unknown>[], ...flags: string[]) => {
    const plane = await start({ queues, steps: [done('completed')] });
    const result = await exec(plane, ['agent', 'default', 'x', ...flags]);
    const body = plane.requestsTo('POST', /execute$/)[0]?.body as { worker_queue_id?: string } | undefined;
    return { ...result, queueId: body?.worker_queue_id };
  };

  test('the only one with a live worker', async () => {
    expect((await chosen([queue('default', 0), queue('ci', 1)])).queueId).toBe('id-ci');
  });
  test('a named one, or default where nobody may run a worker here, saying that nobody polls it', async () => {
    expect((await chosen([queue('default', 1), queue('ci', 0)], '--queue', 'ci')).queueId).toBe('id-ci');
    const result = await chosen([queue('default', 0), queue('ci', 0)], '--idempotency-key', 'k');
    expect(result.queueId).toBe('id-default');
    expect(result.stderr).toContain(
      'no worker is polling the queue default, so the execution waits: `kubiya worker start --queue-id default` starts one',
    );
  });
  test('of several default, else a list and exit 2', async () => {
    expect((await chosen([queue('default', 1), queue('ci', 1)])).queueId).toBe('id-default');
    const result = await chosen([queue('a', 1), queue('b', 1), queue('default', 0)]);
    expect(result).toMatchObject({
      code: 2,
      queueId: undefined,
      stderr: 'error: which queue is meant is not clear: a, b\nhint: choose one with --queue\n',
    });
  });
  test('--queue by name or id', async () => {
    expect((await chosen([queue('a', 1), queue('b', 1)], '--queue', 'b')).queueId).toBe('id-b');
    expect((await chosen([queue('a', 1), queue('b', 1)], '--queue-name', 'id-a')).queueId).toBe('id-a');
  });
});

describe('prompt', () => {
  const promptOf = async (words: readonly string[], options: CliOptions = {}) => {
    const plane = await start({ steps: [done('completed')] });
    const result = await exec(plane, words, options);
    return {
      ...result,
      prompt: (plane.requestsTo('POST', /execute$/)[0]?.body as { prompt?: string } | undefined)?.prompt,
    };
  };

  test('from stdin and from a file', async () => {
    expect((await promptOf(['-'], { stdin: 'from stdin\n' })).prompt).toBe('from stdin');
    const directory = mkdtempSync(join(tmpdir(), 'kubiya-prompt-'));
    writeFileSync(join(directory, 'task.md'), 'from a file\n');
    const fromFile = await promptOf(['agent', 'default', '--prompt-file', 'task.md'], { cwd: directory });
    rmSync(directory, { recursive: true });
    expect(fromFile.prompt).toBe('from a file');
  });
  test.each([
    [['exec'], 'the prompt is missing'],
    [['exec', ''], 'the prompt is empty'],
    [['exec', 'a', '--prompt-file', 'b'], 'the prompt is given twice'],
    [['exec', '--prompt-file', '/nowhere/x'], 'the prompt file /nowhere/x cannot be read'],
    // It has no end, so this test has one only when no more is read than a prompt can be.
    [['exec', '--prompt-file', '/dev/zero'], 'the prompt is too long'],
    [['exec', 'fix', 'it'], 'unexpected argument "it"'],
    [['exec', 'x', '--local', '--detach'], '--local ends with its execution, so it cannot be detached'],
    [['exec', 'x', '--stream-format', 'json', '-o', 'json'], '--stream-format json prints every event'],
  ])('%j is a usage error', async (words, message) => {
    const result = await runCli(words, { environment: { KUBIYA_API_KEY: 'k' } });
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(message);
    expect(result.stdout).toBe('');
  });
  test('flags of the request', async () => {
    const plane = await start({ steps: [done('completed')] });
    await exec(
      plane,
      ['x', '--model', 'm/1', '--system-prompt', 's', '--cwd', 'sub', '--timeout', '90s', '--idempotency-key', 'K'],
      { cwd: tmpdir() },
    );
    const request = plane.requestsTo('POST', /execute$/)[0];
    expect(request?.body).toMatchObject({
      model_id: 'm/1',
      system_prompt: 's',
      execution_environment: { working_dir: join(tmpdir(), 'sub'), timeout: 90 },
    });
    expect(request?.headers['idempotency-key']).toBe('K');
  });
});

describe('the end', () => {
  const waiting = [
    chunk('working '),
    { type: 'wait', for: 'cancel' } as const,
    { event: 'status', data: { status: 'cancelled', execution_id: executionId } },
    done('cancelled'),
  ];
  const cancelled = { status: 'CANCELLED', error_message: 'cancelled by the user' };

  test('Ctrl+C cancels on the server, waits, says what a second one does, and exits 130', async () => {
    const plane = await start({ steps: waiting, final: cancelled });
    const result = await exec(plane, ['x'], {
      during: async (child) => {
        await until(() => plane.requestsTo('GET', /stream$/).length > 0);
        child.kill('SIGINT');
      },
    });
    expect(result.code).toBe(130);
    expect(plane.requestsTo('POST', /cancel$/)).toHaveLength(1);
    expect(result.stderr).toContain('cancelling the execution; interrupt again to leave at once');
    expect(result.stderr).toMatch(/cancelled in [^\n]*: cancelled by the user\n$/);
  });

  test('a second Ctrl+C leaves although the server does not end it', async () => {
    const plane = await start({ steps: [chunk('working '), { type: 'wait', for: 'release' }, done('cancelled')] });
    const result = await exec(plane, ['x'], {
      during: async (child) => {
        await until(() => plane.requestsTo('GET', /stream$/).length > 0);
        child.kill('SIGINT');
        await until(() => plane.requestsTo('POST', /cancel$/).length > 0);
        child.kill('SIGINT');
      },
    });
    expect(result.code).toBe(130);
    expect(result.stderr).toContain(
      `left before the execution ended: \`kubiya exec attach ${executionId}\` follows it`,
    );
  });

  test.each([[['x']], [['x', '--detach']]])('Ctrl+C while it is being started: %j', async (words) => {
    const answer = Promise.withResolvers<undefined>();
    const plane = await start({
      steps: waiting,
      final: cancelled,
      override: ({ path }) => (path.endsWith('/execute') ? answer.promise : undefined),
    });
    let stderr = '';
    const result = await exec(plane, words, {
      during: async (child) => {
        child.stderr?.on('data', (part: Buffer) => (stderr += part.toString()));
        await until(() => plane.requestsTo('POST', /execute$/).length > 0);
        child.kill('SIGINT');
        await until(() => stderr.includes('cancelling the execution when it has started'));
        answer.resolve(undefined);
      },
    });
    expect(plane.requestsTo('POST', /cancel$/)).toHaveLength(1);
    expect(result.stderr).toMatch(/cancelled in [^\n]*: cancelled by the user\n$/);
    expect(result.code).toBe(130);
  });

  test('a second Ctrl+C does not wait for the start', async () => {
    const plane = await start({
      override: ({ path }) => (path.endsWith('/execute') ? new Promise(() => undefined) : undefined),
    });
    let stderr = '';
    const result = await exec(plane, ['x'], {
      during: async (child) => {
        child.stderr?.on('data', (part: Buffer) => (stderr += part.toString()));
        await until(() => plane.requestsTo('POST', /execute$/).length > 0);
        child.kill('SIGINT');
        await until(() => stderr.includes('interrupt again'));
        child.kill('SIGINT');
      },
    });
    expect(result.code).toBe(130);
    expect(result.stderr).toEndWith('hint: it may have been started all the same: `kubiya execution list` shows it\n');
  });

  test('--timeout cancels and exits 9', async () => {
    const plane = await start({ steps: waiting, final: cancelled });
    const result = await exec(plane, ['x', '--timeout', '1s']);
    expect(result.code).toBe(9);
    expect(result.stderr).toContain('the limit of 1s is over, cancelling the execution');
    expect(plane.requestsTo('POST', /cancel$/)).toHaveLength(1);
  });

  test('waiting for input is the end of a one-shot prompt', async () => {
    const status = { event: 'status', data: { status: 'waiting_for_input', execution_id: executionId } };
    const plane = await start({
      steps: [chunk('answer'), status, { type: 'wait', for: 'mark-done' }, done('completed')],
      final: {},
    });
    const result = await exec(plane, ['x']);
    expect(result).toMatchObject({ code: 0, stdout: 'answer\n' });
  });

  test('--detach prints the id and how to follow', async () => {
    const result = await exec(await start({}), ['x', '--detach']);
    expect(result).toEqual({
      code: 0,
      stdout: `${executionId}\n`,
      stderr: `\`kubiya exec attach ${executionId}\` follows it\n`,
    });
  });

  test('attach shows it from the beginning, leaves on Ctrl+C without cancelling', async () => {
    const whole = await exec(await start({ steps: conversation, final }), ['attach', executionId]);
    expect(whole.stdout).toBe('Let me look.\nTwo files.\n');
    expect(whole.stderr).toStartWith('prompt: do it\n');
    const plane = await start({ steps: waiting, final: cancelled });
    const left = await exec(plane, ['attach', executionId], {
      during: async (child) => {
        await until(() => plane.requestsTo('GET', /stream$/).length > 0);
        child.kill('SIGINT');
      },
    });
    expect(left.code).toBe(130);
    expect(left.stderr).toContain('detached, the execution goes on');
    expect(plane.requestsTo('POST', /cancel$/)).toHaveLength(0);
  });

  test('a reader that leaves does not stop the execution and is no error', async () => {
    const many = Array.from({ length: 200 }, (_, index) => chunk(`${'x'.repeat(1000)} ${index}\n`));
    const plane = await start({
      steps: [chunk('first\n'), { type: 'wait', for: 'release' }, ...many, done('completed')],
      final: {},
    });
    const result = await exec(plane, ['x'], {
      during: async (child) => {
        await until(() => plane.requestsTo('GET', /stream$/).length > 0);
        child.stdout?.destroy();
        plane.release();
      },
    });
    expect(result.code).toBe(0);
    expect(result.stderr).toMatch(/^completed in /);
  });
});

describe('a server that goes away', () => {
  test.each([true, false])('reconnects and repeats nothing (server resumes by id: %p)', async (canResume) => {
    const [first = chunk(''), ...rest] = conversation;
    const steps = [
      first,
      ...rest.slice(0, 6),
      { type: 'cut' } as const,
      ...rest.slice(6, 9),
      { type: 'end' } as const,
      ...rest.slice(9),
    ];
    const plane = await start({ steps, final, canResume });
    const result = await exec(plane, ['x']);
    expect(result.code).toBe(0);
    expect(result.stdout).toBe('Let me look.\nTwo files.\n');
    expect(result.stderr.match(/> run_shell_command/g)).toHaveLength(1);
  });

  test('says when the connection is lost and when it is back', async () => {
    let failures = 0;
    const plane = await start({
      steps: [chunk('a'), { type: 'cut' }, chunk('b'), done('completed')],
      final: {},
      override: ({ path, headers }) => {
        if (!path.endsWith('/stream') || headers['last-event-id'] === undefined || failures >= 2) return undefined;
        failures += 1;
        return 'destroy';
      },
    });
    const result = await exec(plane, ['x']);
    // The note about it does not break the answer in the pipe.
    expect(result.stdout).toBe('ab\n');
    expect(result.stderr).toContain('the connection to the control plane is lost');
    expect(result.stderr).toContain('the connection to the control plane is back');
    expect(result.code).toBe(0);
  });
});
