// `kubiya exec` as a real process against a scripted control plane: streams, formats, signals, outages, exit codes.
import { describe, expect, test } from 'bun:test';
import {
  chunk,
  defaultAgent,
  defaultQueue,
  done,
  executionId,
  workerEvent,
} from '../support/scripted-control-plane.ts';
import { runCli, until } from './run-cli.ts';
import { conversation, exec, final, start, tool } from './scripted-exec.ts';

describe('text', () => {
  test('the answer goes to stdout, everything else to stderr', async () => {
    const plane = await start({ steps: conversation, final });
    const result = await exec(plane, ['do it']);
    expect(result.stdout).toBe('Let me look.\nTwo files.\n');
    expect(result.stderr.replace(/ in \d[\d.]*m?s,/, ' in TIME,')).toBe(
      [
        'thinking: I should look first',
        '> run_shell_command ls',
        '  | a',
        '  | b',
        '  ok: run_shell_command in 42ms',
        'completed in TIME, 1,234 tokens in, 56 out',
        '',
      ].join('\n'),
    );
    expect(result.code).toBe(0);
    const [request] = plane.requestsTo('POST', `/api/v1/agents/${defaultAgent.id}/execute`);
    expect(request?.body).toEqual({ prompt: 'do it', stream: true, worker_queue_id: defaultQueue.id });
    expect(request?.headers['idempotency-key']).toMatch(/^[0-9a-f-]{36}$/);
    expect(request?.headers.authorization).toBe(`Bearer ${plane.token}`);
  });

  test('the first words are there before the rest exists', async () => {
    const plane = await start({
      steps: [chunk('first '), { type: 'wait', for: 'release' }, chunk('second'), done('completed')],
      final: {},
    });
    let seen = '';
    const result = await exec(plane, ['x'], {
      during: async (child) => {
        child.stdout?.on('data', (part: Buffer) => (seen += part.toString()));
        await until(() => seen === 'first ');
        plane.release();
      },
    });
    expect(result.stdout).toBe('first second\n');
  });

  test('long output is cut in the middle, --output-lines, --compact and --full-output change that', async () => {
    const output = Array.from({ length: 20 }, (_, index) => `line ${index + 1}`).join('\n');
    const completed = workerEvent('tool_completed', {
      ...tool,
      status: 'success',
      outcome: 'success',
      tool_output: output,
      duration_ms: 1,
    });
    const steps = [
      workerEvent('tool_started', { ...tool, tool_arguments: { command: 'x' } }),
      completed,
      done('completed'),
    ];
    const linesWith = async (...flags: string[]): Promise<string[]> => {
      const result = await exec(await start({ steps, final: {} }), ['x', ...flags]);
      return result.stderr.split('\n').filter((line) => /^ {2}[|…]/.test(line));
    };
    const [byDefault, four, compact, full] = await Promise.all([
      linesWith(),
      linesWith('--output-lines', '4'),
      linesWith('--compact'),
      linesWith('--full-output'),
    ]);
    expect(byDefault).toHaveLength(11);
    expect(byDefault[5]).toBe('  … 10 more lines (--full-output shows them)');
    expect(four).toEqual([
      '  | line 1',
      '  | line 2',
      '  … 16 more lines (--full-output shows them)',
      '  | line 19',
      '  | line 20',
    ]);
    expect(compact).toEqual([]);
    expect(full).toHaveLength(20);
  });

  test('live output is shown once, not again with the result', async () => {
    const plane = await start({
      steps: [
        workerEvent('tool_started', { ...tool, tool_arguments: { command: 'x' } }),
        workerEvent('tool_output', { tool_execution_id: 't1', content: 'one\ntw' }),
        workerEvent('tool_output', { tool_execution_id: 't1', content: 'o\n' }),
        workerEvent('tool_completed', {
          ...tool,
          status: 'failed',
          outcome: 'failed',
          tool_output: 'one\ntwo\nthree\n',
          tool_error: 'exit code 3',
          duration_ms: 5,
        }),
        done('completed'),
      ],
      final: {},
    });
    const { stderr } = await exec(plane, ['x']);
    expect(stderr.split('\n').slice(0, 5)).toEqual([
      '> run_shell_command x',
      '  | one',
      '  | two',
      '  | three',
      '  failed: run_shell_command in 5ms: exit code 3',
    ]);
  });

  test('a retry says that the half answer does not count and the new one is whole', async () => {
    const plane = await start({
      steps: [
        chunk('Half an'),
        workerEvent('retry', { message_id: 'm1', attempt: 2, reason: 'the stream was cut', delay_ms: 10 }),
        chunk('The whole'),
        workerEvent('message', { role: 'assistant', content: 'The whole answer', message_id: 'm1' }),
        done('completed'),
      ],
      final: {},
    });
    const result = await exec(plane, ['x']);
    expect(result.stdout).toBe('Half an\nThe whole answer\n');
    expect(result.stderr).toContain('the model is asked again (the stream was cut)');
  });

  test('--no-stream and a stream whose events were lost print the answer of the execution', async () => {
    const quiet = await exec(await start({ steps: conversation, final }), ['x', '--no-stream']);
    expect(quiet.stdout).toBe('Two files.\n');
    expect(quiet.stderr).toMatch(/^completed in /);
    const lost = await exec(await start({ steps: [done('completed')], final }), ['x']);
    expect(lost.stdout).toBe('Two files.\n');
  });

  test('no colour in a pipe, colour where it is forced, NO_COLOR wins', async () => {
    const plain = await exec(await start({ steps: conversation, final }), ['x']);
    expect(plain.stdout + plain.stderr).not.toContain('\u001B');
    const forced = await exec(await start({ steps: conversation, final }), ['x'], {
      environment: { FORCE_COLOR: '1' },
    });
    expect(forced.stderr).toContain('\u001B[');
    expect(forced.stdout).not.toContain('\u001B');
    const never = await exec(await start({ steps: conversation, final }), ['x'], {
      environment: { FORCE_COLOR: '1', NO_COLOR: '1' },
    });
    expect(never.stderr).not.toContain('\u001B');
  });
});

describe('json', () => {
  test('--stream-format json prints one object per event and done at the end', async () => {
    const result = await exec(await start({ steps: conversation, final }), ['x', '--stream-format', 'json']);
    const lines = result.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map((line) => line['type'])).toEqual([
      'connected',
      'message',
      'status',
      'thinking',
      'message_chunk',
      'message_chunk',
      'message',
      'tool_started',
      'tool_completed',
      'message_chunk',
      'message',
      'done',
    ]);
    for (const line of lines) {
      expect(line['execution_id']).toBe(executionId);
      expect(line['timestamp']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    }
    expect(lines[8]?.['timestamp']).toBe('2026-11-24T10:00:00.123Z');
    expect(lines[7]?.['tool']).toEqual({ id: 't1', name: 'run_shell_command', inputs: { command: 'ls' } });
    expect(lines[8]?.['tool']).toMatchObject({ success: true, outputs: 'a\nb\n', duration_seconds: 0.042 });
    expect(lines.at(-1)).toMatchObject({
      status: 'completed',
      response: 'Two files.',
      usage: { input_tokens: 1234, output_tokens: 56 },
    });
    expect(result.stderr).toBe('');
  });

  test('--output json and yaml print one object', async () => {
    const json = await exec(await start({ steps: conversation, final }), ['x', '-o', 'json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      execution_id: executionId,
      status: 'completed',
      response: 'Two files.',
      error: null,
    });
    const yaml = await exec(await start({ steps: conversation, final }), ['x', '-o', 'yaml']);
    expect(yaml.stdout).toContain('response: Two files.');
  });

  test('errors are JSON too', async () => {
    const result = await exec(await start({ token: 'other' }), ['x', '--stream-format=json'], {
      environment: { KUBIYA_API_KEY: 'wrong' },
    });
    expect(JSON.parse(result.stderr)).toEqual({
      code: 'unauthorized',
      message: 'the API key is not valid',
      hint: 'check KUBIYA_API_KEY or run `kubiya login`; `kubiya config show` says where the key comes from',
      retryable: false,
    });
    expect(result.stdout).toBe('');
    expect(result.code).toBe(3);
  });
});

describe('outcomes', () => {
  const failing = (errorType: string) => [
    workerEvent('error', { error: 'it went wrong', error_type: errorType, retryable: false }),
    done('failed'),
  ];

  test.each([
    ['authentication', 3],
    ['configuration', 6],
    ['limit', 7],
    ['denied', 8],
    ['timeout', 9],
    ['tool_failed', 1],
  ] as const)('failed by %s exits %i', async (errorType, code) => {
    const result = await exec(
      await start({ steps: failing(errorType), final: { status: 'FAILED', error_message: 'it went wrong' } }),
      ['x'],
    );
    expect(result.code).toBe(code);
    expect(result.stderr).toMatch(/^error: it went wrong\nfailed in [^\n]*\n$/);
  });

  test('the execution has the last word when done says completed', async () => {
    const result = await exec(
      await start({ steps: [done('completed')], final: { status: 'failed', error_message: 'no' } }),
      ['x'],
    );
    expect(result.code).toBe(1);
  });

  test('an unknown agent is 4 with a suggestion, an unknown queue too', async () => {
    const agent = await exec(await start({}), ['agent', 'defualt', 'x']);
    expect(agent).toMatchObject({
      code: 4,
      stderr: 'error: there is no agent "defualt"\nhint: did you mean default?\n',
    });
    const queue = await exec(await start({}), ['x', '--queue', 'zzz']);
    expect(queue).toMatchObject({
      code: 4,
      stderr: 'error: there is no queue "zzz"\nhint: `kubiya queue list` lists them\n',
    });
    const id = await exec(
      await start({
        override: ({ path }) =>
          path.endsWith('/execute') ? { status: 404, body: { detail: 'Agent not found' } } : undefined,
      }),
      ['agent', '99999999-0000-4000-8000-000000000001', 'x'],
    );
    expect(id).toMatchObject({ code: 4, stderr: 'error: Agent not found\n' });
  });

  test('no reachable server is 5 and names the URL', async () => {
    const plane = await start({});
    await plane.stop();
    const result = await exec(plane, ['x']);
    expect(result.code).toBe(5);
    expect(result.stderr).toBe(
      `error: could not reach ${plane.url}: connection refused\nhint: start a local server with \`kubiya server start\`\n`,
    );
  });

  test('without a key and without a local server it is 5 and says what decided', async () => {
    const result = await runCli(['exec', 'x', '--yes']);
    expect(result.code).toBe(5);
    expect(result.stderr).toContain('no KUBIYA_API_KEY is set');
    expect(result.stderr).toContain('hint: start one with `kubiya server start -d`');
  });
});
