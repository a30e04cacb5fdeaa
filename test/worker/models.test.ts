// Conversations with scripted providers over real HTTP, through the built program: what the model is sent and what a person gets.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Lab, failureOf, startLab, streamLines } from './lab.ts';
import { type Scenario, type ScenarioReply, type Scenarios, startScenarios } from './scenarios.ts';

let lab: Lab;
let openAi: Scenarios;
let anthropic: Scenarios;
beforeAll(async () => {
  [openAi, anthropic] = await Promise.all([startScenarios('openai'), startScenarios('anthropic')]);
  lab = await startLab({
    OPENAI_BASE_URL: openAi.url,
    OPENAI_API_KEY: 'sk-openai-0123456789abcdef',
    ANTHROPIC_BASE_URL: anthropic.url,
    ANTHROPIC_API_KEY: 'sk-ant-0123456789abcdef',
  });
}, 90_000);
afterAll(async () => {
  await lab.stop();
  await Promise.all([openAi.stop(), anthropic.stop()]);
}, 60_000);

interface Message {
  readonly role: string;
  readonly content: unknown;
  readonly tool_calls?: readonly { id: string; function: { name: string; arguments: string } }[];
  readonly tool_call_id?: string;
}
const messagesOf = (scenario: Scenario, index: number): readonly Message[] =>
  (scenario.requests[index]?.body['messages'] ?? []) as readonly Message[];

const shell = (command: string, id?: string) => ({
  name: 'run_shell_command',
  arguments: { command },
  ...(id === undefined ? {} : { id }),
});

async function converse(scenarios: Scenarios, model: string, replies: readonly ScenarioReply[], words: string[] = []) {
  const scenario = scenarios.add(replies);
  const result = await lab.run(['exec', 'agent', 'default', '--model', model, ...words, `do ${scenario.tag}`]);
  return { scenario, ...result };
}
const withOpenAi = (replies: readonly ScenarioReply[], words?: string[]) =>
  converse(openAi, 'openai/x', replies, words);
const withAnthropic = (replies: readonly ScenarioReply[], words?: string[]) =>
  converse(anthropic, 'anthropic/claude-x', replies, words);

describe('an OpenAI-compatible server', () => {
  test('gets the tools, runs parallel calls and reads their results in its own order', async () => {
    const { scenario, code, stdout, stderr } = await withOpenAi([
      {
        type: 'calls',
        text: 'Let me look. ',
        calls: [
          { name: 'save_file', id: 'call_a', arguments: { file_name: 'one.txt', contents: 'first' } },
          shell('cat one.txt; echo second', 'call_b'),
          { name: 'read_file', id: 'call_c', arguments: { file_name: 'one.txt' } },
        ],
      },
      { type: 'text', text: 'All three are done.' },
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Let me look. \nAll three are done.\n' });
    expect(stderr).toContain('> run_shell_command cat one.txt; echo second');
    const tools = scenario.requests[0]?.body['tools'] as { function: { name: string; parameters: object } }[];
    expect(tools.map((tool) => tool.function.name)).toEqual(
      expect.arrayContaining(['run_shell_command', 'read_file', 'save_file', 'run_python_code']),
    );
    for (const tool of tools) expect(tool.function.parameters).toMatchObject({ type: 'object' });
    expect(scenario.requests[0]?.headers.authorization).toBe('Bearer sk-openai-0123456789abcdef');
    expect(scenario.requests[0]?.body).toMatchObject({ model: 'x', stream: true });
    const roles = messagesOf(scenario, 1).map((message) => message.tool_call_id ?? message.role);
    expect(roles).toEqual(['system', 'user', 'assistant', 'call_a', 'call_b', 'call_c']);
    const [saved, catted, read] = messagesOf(scenario, 1).slice(3);
    expect(String(saved?.content)).toContain('one.txt');
    expect(String(catted?.content)).toMatch(/first[\s\S]*second/);
    expect(String(read?.content)).toContain('first');
  });

  test('malformed arguments and an unknown tool are told to the model, which goes on', async () => {
    const { scenario, code, stdout } = await withOpenAi([
      {
        type: 'calls',
        calls: [
          { name: 'run_shell_command', arguments: '{"command": "echo' },
          { name: 'fly', arguments: {} },
        ],
      },
      { type: 'calls', calls: [{ name: 'run_shell_command', arguments: { command: 42 } }] },
      { type: 'text', text: 'I give up.' },
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'I give up.\n' });
    const [malformed, unknown] = messagesOf(scenario, 1).slice(3);
    expect(String(malformed?.content)).toMatch(/not valid JSON/);
    expect(String(unknown?.content)).toMatch(/no tool named fly: the tools are .*run_shell_command/);
    expect(String(messagesOf(scenario, 2).at(-1)?.content)).toMatch(/command/);
  });

  test('a cut stream is asked again, and its half answer does not count', async () => {
    const { scenario, code, stdout } = await withOpenAi(
      [
        {
          type: 'text',
          text: 'The answer is forty-one, or perhaps not',
          chunks: 20,
          cutAfterBytes: 1_400,
          delayMs: 150,
        },
        { type: 'text', text: 'The answer is forty-two.' },
      ],
      ['--stream-format', 'json'],
    );
    expect(code).toBe(0);
    expect(scenario.requests).toHaveLength(2);
    const lines = streamLines(stdout);
    const retry = lines.findIndex((line) => line['type'] === 'retry');
    const chunks = (from: number, to: number) =>
      lines
        .slice(from, to)
        .flatMap((line) => (line['type'] === 'message_chunk' ? [(line['message'] as { content: string }).content] : []))
        .join('');
    expect(chunks(0, retry)).toMatch(/^The answer is/);
    expect(chunks(retry, lines.length)).toBe('The answer is forty-two.');
    expect(lines.at(-1)).toMatchObject({ type: 'done', response: 'The answer is forty-two.' });
  });

  test('429 is waited for as long as the server says, and not counted as a second call', async () => {
    const { scenario, code, stdout } = await withOpenAi(
      [
        { type: 'status', status: 429, headers: { 'retry-after': '2' }, body: { error: { message: 'slow down' } } },
        { type: 'text', text: 'Now.', usage: { input: 100, output: 10 } },
      ],
      ['--output', 'json'],
    );
    expect(code).toBe(0);
    const [first = 0, second = 0] = scenario.times;
    expect(second - first).toBeGreaterThanOrEqual(1_950);
    expect(JSON.parse(stdout)).toMatchObject({
      response: 'Now.',
      usage: { prompt_tokens: 100, completion_tokens: 10 },
    });
  });

  test('500 twice is tried again', async () => {
    const failed = { type: 'status', status: 500, body: { error: { message: 'oops' } } } as const;
    const { scenario, code, stdout, stderr } = await withOpenAi([
      failed,
      failed,
      { type: 'text', text: 'Third time.' },
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Third time.\n' });
    expect(stderr.match(/is asked again/g)).toHaveLength(2);
    expect(scenario.requests[2]?.body).toEqual(scenario.requests[0]?.body ?? {});
  });

  test('401 is exit 3 at once, names the variable and never the key', async () => {
    const { scenario, ...result } = await withOpenAi([
      {
        type: 'status',
        status: 401,
        body: { error: { message: 'Incorrect API key provided: sk-openai-0123456789abcdef' } },
      },
    ]);
    expect(result.code).toBe(3);
    expect(scenario.requests).toHaveLength(1);
    const { error } = failureOf(result);
    expect(error).toContain('OPENAI_API_KEY');
    expect(result.stdout + result.stderr).not.toContain('0123456789abcdef');
  });

  test('a context overflow is compacted and asked again; what cannot be made smaller is exit 7', async () => {
    const overflow = {
      type: 'status',
      status: 400,
      body: {
        error: { code: 'context_length_exceeded', message: "This model's maximum context length is 8192 tokens" },
      },
    } as const;
    const { scenario, code } = await withOpenAi([
      { type: 'calls', calls: [shell('seq 1 15000')] },
      overflow,
      { type: 'text', text: 'It counts.' },
    ]);
    expect(code).toBe(0);
    const [before = 0, after = 0] = [1, 2].map((index) => JSON.stringify(messagesOf(scenario, index)).length);
    expect(before).toBeGreaterThan(50_000);
    expect(after).toBeLessThan(10_000);
    expect(messagesOf(scenario, 2).map(({ role }) => role)).toEqual(messagesOf(scenario, 1).map(({ role }) => role));
    const hopeless = await withOpenAi([overflow]);
    expect(hopeless.code).toBe(7);
    expect(failureOf(hopeless).error).toContain('window');
  });

  test('an answer that no history can take is said, not tried for ever', async () => {
    const result = await withOpenAi([{ type: 'text', text: 'x'.repeat(1_200_000) }], ['--no-stream']);
    expect(result.code).toBe(1);
    expect(failureOf(result).error).toContain('more than 500000 characters at once');
  });

  test('a stream that hangs ends when it is cancelled', async () => {
    const scenario = openAi.add([{ type: 'text', text: 'Wait for it', chunks: 10, hangAfterBytes: 900 }]);
    const result = await lab.run(['exec', 'agent', 'default', '--model', 'openai/x', '--timeout', '2s', scenario.tag]);
    expect(result.code).toBe(9);
    expect(scenario.requests[0]?.isAborted).toBe(true);
    expect(result.durationMs).toBeLessThan(15_000);
  });
});

describe('an Anthropic server', () => {
  test('gets its thinking back with the signature, and tool results in one message in the order of the calls', async () => {
    const { scenario, code, stdout, stderr } = await withAnthropic([
      {
        type: 'calls',
        thinking: 'Two commands will do.',
        text: 'Working.',
        calls: [shell('echo alpha', 'toolu_1'), shell('echo beta; exit 3', 'toolu_2')],
      },
      { type: 'text', text: 'Done.' },
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Working.\nDone.\n' });
    expect(stderr).toContain('thinking: Two commands will do.');
    expect(scenario.requests[0]?.headers).toMatchObject({ 'x-api-key': 'sk-ant-0123456789abcdef' });
    expect(scenario.requests[0]?.headers['anthropic-version']).toBeDefined();
    const tools = scenario.requests[0]?.body['tools'] as { name: string; input_schema: object }[];
    for (const tool of tools) expect(tool.input_schema).toMatchObject({ type: 'object' });
    const [, assistant, results] = messagesOf(scenario, 1);
    expect(assistant).toMatchObject({
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'Two commands will do.', signature: 'signed' },
        { type: 'text', text: 'Working.' },
        { type: 'tool_use', id: 'toolu_1', name: 'run_shell_command', input: { command: 'echo alpha' } },
        { type: 'tool_use', id: 'toolu_2' },
      ],
    });
    expect(results).toMatchObject({
      role: 'user',
      content: [
        { type: 'tool_result', tool_use_id: 'toolu_1' },
        { type: 'tool_result', tool_use_id: 'toolu_2', is_error: true },
      ],
    });
    expect(JSON.stringify(results)).toMatch(/alpha.*beta/);
  });

  test('529 and a cut stream in the middle of a call are tried again; nothing of the half call runs', async () => {
    const mark = join(lab.home.directory, 'half');
    const { scenario, code, stdout } = await withAnthropic([
      {
        type: 'status',
        status: 529,
        body: { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } },
      },
      { type: 'calls', calls: [shell(`echo once >> ${mark}`)], chunks: 30, cutAfterBytes: 1_500 },
      { type: 'calls', calls: [shell(`echo once >> ${mark}`)] },
      { type: 'text', text: 'Good.' },
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'Good.\n' });
    expect(scenario.requests).toHaveLength(4);
    expect(readFileSync(mark, 'utf8')).toBe('once\n');
  });

  test('401 is exit 3', async () => {
    const result = await withAnthropic([
      {
        type: 'status',
        status: 401,
        body: { type: 'error', error: { type: 'authentication_error', message: 'invalid x-api-key' } },
      },
    ]);
    expect(result.code).toBe(3);
    expect(failureOf(result).error).toContain('ANTHROPIC_API_KEY');
  });
});
