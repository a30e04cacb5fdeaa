// The frame around every tool: arguments, limits, stops, results.
import { describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { type ToolRun, defineTool } from '../../../src/tools/tool.ts';
import { createToolset } from '../../../src/tools/toolset.ts';
import { createBench, skill, toolOf } from './support.ts';

function createEcho(
  run: (input: { text: string }, run: ToolRun) => Promise<{ status: 'success' | 'failed'; output: string }>,
) {
  return defineTool({
    name: 'echo',
    description: 'Says it again\n',
    input: v.strictObject({ text: v.string(), count: v.optional(v.pipe(v.number(), v.minValue(1))) }),
    effect: ({ text }) => (text === 'read' ? 'read_only' : 'idempotent'),
    timeoutMs: 200,
    run,
  });
}

const echo = createEcho(async ({ text }) => ({ status: 'success', output: text }));

describe('arguments', () => {
  test.each([
    ['{"text":', 'not valid JSON'],
    ['[]', 'one JSON object'],
    ['"x"', 'one JSON object'],
    ['null', 'one JSON object'],
    ['', 'text'],
    ['{}', 'text'],
    ['{"text":1}', 'text'],
    ['{"text":"a","count":0}', 'count'],
    ['{"text":"a","other":1}', 'other'],
    ['{"text":null}', 'text'],
  ])('%s fails with words for the model', async (rawArguments, words) => {
    await using bench = createBench();
    const result = await echo.run(rawArguments, bench.context());
    expect(result.status).toBe('failed');
    expect(result.output).toContain(words);
    expect(result.error).toBe(result.output);
    expect(echo.effect(rawArguments)).toBe('read_only');
  });

  test('null stands for an absent optional argument', async () => {
    await using bench = createBench();
    expect((await echo.run('{"text":"a","count":null}', bench.context())).output).toBe('a');
  });

  test('the specification is plain JSON Schema', () => {
    expect(echo.spec).toEqual({
      name: 'echo',
      description: 'Says it again',
      inputSchema: {
        type: 'object',
        properties: { text: { type: 'string' }, count: { type: 'number', minimum: 1 } },
        required: ['text'],
        additionalProperties: false,
      },
    });
    expect(echo.effect('{"text":"read"}')).toBe('read_only');
    expect(echo.effect('{"text":"other"}')).toBe('idempotent');
  });
});

describe('limits', () => {
  test('output is cut in the middle, at characters', async () => {
    await using bench = createBench();
    const text = `head${'🙂'.repeat(1_000)}tail`;
    const result = await echo.run(JSON.stringify({ text }), bench.context({ limits: { outputBytesMax: 101 } }));
    expect(result.output).toStartWith('head🙂');
    expect(result.output).toEndWith('🙂tail');
    expect(result.output).not.toContain('\uFFFD');
    expect(result.originalBytes).toBe(4_008);
  });

  test('a tool that ignores its signal is answered without it', async () => {
    await using bench = createBench();
    let late: (() => void) | undefined;
    const stuck = createEcho((_input, run) => {
      late = () => run.onOutput('too late');
      return new Promise(() => undefined);
    });
    const result = await stuck.run('{"text":"a"}', bench.context());
    expect(result).toMatchObject({ status: 'failed', error: 'Stopped at its time limit of 0.2 s' });
    expect(result.durationMs).toBeWithin(5_000, 6_500);
    late?.();
    expect(bench.live).toEqual([]);
  }, 10_000);

  test('a tool that succeeded while it was stopped has succeeded', async () => {
    await using bench = createBench();
    const controller = new AbortController();
    const quick = createEcho(async () => {
      controller.abort();
      return { status: 'success', output: 'done' };
    });
    const result = await quick.run('{"text":"a"}', bench.context({ signal: controller.signal }));
    expect(result).toMatchObject({ status: 'success', output: 'done' });
  });

  test('a bug is not hidden as a failed call', async () => {
    await using bench = createBench();
    const broken = createEcho(() => Promise.reject(new TypeError('bug')));
    expect(broken.run('{"text":"a"}', bench.context())).rejects.toThrow('bug');
  });
});

describe('a toolset', () => {
  test('has the tools of its skills, the first of a name wins', () => {
    const toolset = createToolset([skill('shell', { variant: 'read_only' }), skill('shell'), skill('python')]);
    expect(toolset.problems).toEqual([]);
    expect(toolset.specs.map((spec) => spec.name)).toEqual([
      'run_shell_command',
      'run_python_code',
      'save_to_file_and_run',
      'run_python_file_return_variable',
      'pip_install_package',
      'uv_pip_install_package',
      'read_file',
      'list_files',
      'wait_for_approval',
    ]);
    expect(toolset.tools.get('run_shell_command')?.effect('{"command":"ls"}')).toBe('read_only');
    for (const spec of toolset.specs) expect(spec.description.length).toBeGreaterThan(40);
  });

  test('says what it did not understand', () => {
    const toolset = createToolset([
      skill('teleport'),
      skill('shell', { color: 'red', timeout: null }),
      skill('file_system', { variant: 'all' }),
      { ...skill('docker'), enabled: false },
      skill('constructor'),
    ]);
    expect(Array.from(toolset.tools.keys())).toEqual(['run_shell_command', 'wait_for_approval']);
    expect(toolset.problems).toHaveLength(4);
    expect(toolset.problems[0]).toBe('Skill teleport is not available: this version has no skills of type teleport');
    expect(toolset.problems[1]).toBe('Skill shell has the unknown setting color, which is ignored');
    expect(toolset.problems[2]).toContain('Skill file_system is not available: its variant "all" is unknown');
    expect(toolset.problems[3]).toContain('constructor');
  });

  test.each([
    ['shell', { timeout: '60' }],
    ['shell', { timeout: 0 }],
    ['shell', { blocked_commands: 5 }],
    ['shell', { max_output_size: '10 parsecs' }],
    ['shell', { environment_variables: ['A'] }],
    ['python', { max_memory: -1 }],
    ['file_system', { enable_read_file: 'yes' }],
    ['file_system', { operations: ['fly'] }],
  ])('a %s with %p gives no tools', (type, configuration) => {
    const toolset = createToolset([skill(type, configuration)]);
    expect(toolset.tools.size).toBe(0);
    expect(toolset.problems).toHaveLength(1);
  });

  test('understands sizes and lists in words', () => {
    expect(
      toolOf('run_shell_command', 'shell', { max_output_size: '10MB', allowed_commands: 'ls, cat' }),
    ).toBeDefined();
  });
});

test('the record of a skill names its variant, and its configuration another', () => {
  const effect = (configuration: Record<string, unknown>) =>
    createToolset([{ ...skill('shell', configuration), variant: 'read_only' }])
      .tools.get('run_shell_command')
      ?.effect('{"command":"ls"}');
  expect(effect({})).toBe('read_only');
  expect(effect({ variant: 'full_access' })).toBe('side_effecting');
});
