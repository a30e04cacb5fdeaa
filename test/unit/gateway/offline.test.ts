// The model `kubiya/offline`: which commands it finds, how it runs them one by one, and what it reports.
import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { commandsIn, createOfflineModel } from '../../../src/gateway/offline.ts';
import type { ModelDelta, ModelMessage, ModelResult } from '../../../src/protocol/model.ts';
import { call, failureOf, requestOf, resultOf, shellTool, userMessage } from './harness.ts';

type ToolReply = { content: string; isError: boolean };

/** Plays the agent: answers each call until the model gives a verdict. */
async function converse(
  prompt: string,
  reply: (command: string, index: number) => ToolReply,
): Promise<{ ran: string[]; result: ModelResult; deltas: readonly ModelDelta[]; messages: ModelMessage[] }> {
  const model = createOfflineModel();
  const messages: ModelMessage[] = [
    userMessage('Earlier: `ls /old`'),
    { role: 'assistant', content: 'ok', toolCalls: [] },
    userMessage(prompt),
  ];
  const ran: string[] = [];
  for (;;) {
    const called = await call(model, requestOf({ messages, tools: [shellTool] }));
    const result = resultOf(called);
    messages.push(result.message);
    const made = result.message.toolCalls[0];
    if (made === undefined) return { ran, result, deltas: called.deltas, messages };
    expect(result.message.toolCalls).toHaveLength(1);
    expect(result).toMatchObject({
      finishReason: 'tool_calls',
      model: 'kubiya/offline',
      usage: { inputTokens: 0, outputTokens: 0 },
    });
    expect(result.verdict).toBeUndefined();
    const { command } = JSON.parse(made.arguments) as { command: string };
    messages.push({ role: 'tool', toolCallId: made.id, name: made.name, ...reply(command, ran.length) });
    ran.push(command);
  }
}

describe('the commands of a prompt', () => {
  const cases: [string, string, string[]][] = [
    ['inline, in order', 'Run `echo hi` and then `ls -l | wc`.', ['echo hi', 'ls -l | wc']],
    [
      'a fenced block, one a line',
      'Do:\n```sh\nmkdir a\n\n  # a comment\n  cd a && touch b\n```\nthen `ls`',
      ['mkdir a', 'cd a && touch b', 'ls'],
    ],
    ['the language line is no command', '```bash\nls\n```', ['ls']],
    ['backticks inside a block', '```\necho `date`\n```', ['echo `date`']],
    ['double backticks', 'Run ``echo `date` `` now', ['echo `date`']],
    ['a longer fence', '````\n```\nls\n```\n````', ['```', 'ls', '```']],
    ['a fence without an end', '```\nls\npwd', ['ls', 'pwd']],
    ['CRLF', '```\r\nls\r\n```\r\n`pwd`\r\n', ['ls', 'pwd']],
    ['three backticks in one line', 'use ```ls``` please', []],
    ['single inside three', 'use ```a `b` c``` and `d`', ['d']],
    ['an odd backtick', "it's `ls", []],
    ['an odd backtick on another line', 'a ` b\n`ls`', ['ls']],
    ['empty spans', '`` ` ` ``', ['` `']],
    ['blanks only', 'x ` ` y', []],
    ['none', 'What is the capital of France?', []],
  ];
  for (const [title, prompt, commands] of cases) test(title, () => expect(commandsIn(prompt)).toEqual(commands));

  test('are found whatever stands around them', () => {
    const word = fc.stringMatching(/^[a-z ,.]{0,12}$/);
    const command = fc.stringMatching(/^[a-z][a-z -]{0,10}[a-z]$/);
    fc.assert(
      fc.property(fc.array(fc.tuple(word, command)), (pairs) => {
        const prompt = pairs.map(([text, inner]) => `${text} \`${inner}\` `).join('');
        expect(commandsIn(prompt)).toEqual(pairs.map(([, inner]) => inner));
      }),
    );
  });

  test('a prompt of backticks only takes no long time', () => {
    const startedAt = performance.now();
    commandsIn('` `` ```'.repeat(5_000));
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});

describe('a run', () => {
  test('calls the tool for each command of the last message, then reports', async () => {
    const { ran, result, deltas } = await converse('`echo hi`, `true`', (command) => ({
      content: command === 'true' ? '' : 'hi\n',
      isError: false,
    }));
    expect(ran).toEqual(['echo hi', 'true']);
    expect(result.verdict).toBe('succeeded');
    expect(result.finishReason).toBe('stop');
    expect(result.message.content).toBe('Ran 2 commands; all succeeded.\n\n$ echo hi\n[ok]\nhi\n\n$ true\n[ok]');
    expect(deltas.length).toBe(3);
    expect(deltas.map((delta) => delta.text).join('')).toBe(result.message.content);
  });

  test('stops at the first that fails', async () => {
    const { ran, result } = await converse('`a` `b` `c`', (_command, index) => ({
      content: `out ${index}`,
      isError: index === 1,
    }));
    expect(ran).toEqual(['a', 'b']);
    expect(result.verdict).toBe('failed');
    expect(result.message.content).toBe(
      'Ran 2 of 3 commands; number 2 failed.\n\n$ a\n[ok]\nout 0\n\n$ b\n[failed]\nout 1\n\n$ c\n[not run]',
    );
  });

  test('gives each call an id of its own, and the same one again', async () => {
    const { messages } = await converse('`a` `b` `c`', () => ({ content: '', isError: false }));
    const ids = messages.flatMap((message) =>
      message.role === 'assistant' ? message.toolCalls.map(({ id }) => id) : [],
    );
    expect(new Set(ids).size).toBe(3);
    const again = await call(createOfflineModel(), requestOf({ messages: messages.slice(0, 5), tools: [shellTool] }));
    expect(resultOf(again).message.toolCalls[0]?.id).toBe(ids[1]);
  });

  test('bounds long output, without half characters', async () => {
    const { result } = await converse('`cat big`', () => ({ content: '👋'.repeat(50_000), isError: false }));
    expect(result.message.content.length).toBeLessThan(3_200);
    expect(result.message.content).toMatch(/\d{5} characters left out/);
    expect(result.message.content.isWellFormed()).toBe(true);
  });

  test('a prompt without a command is explained and fails', async () => {
    const { result } = await converse('Write me a poem', () => ({ content: '', isError: false }));
    expect(result.verdict).toBe('failed');
    expect(result.message.content).toContain('is not a language model');
    expect(result.message.content).toContain('--model');
    // The explanation holds an example in backticks; nothing may run it.
    expect(result.message.toolCalls).toEqual([]);
  });

  test('no message at all', async () => {
    const called = await call(createOfflineModel(), requestOf({ messages: [], tools: [shellTool] }));
    expect(resultOf(called).verdict).toBe('failed');
  });

  test('an agent without the tool is told so', async () => {
    const called = await call(createOfflineModel(), requestOf({ messages: [userMessage('`ls`')] }));
    expect(resultOf(called)).toMatchObject({ verdict: 'failed', finishReason: 'stop' });
    expect(resultOf(called).message.content).toContain('no tool run_shell_command');
  });

  test('too many commands are refused, not cut', async () => {
    const called = await call(
      createOfflineModel(),
      requestOf({ messages: [userMessage('`ls` '.repeat(101))], tools: [shellTool] }),
    );
    expect(resultOf(called).verdict).toBe('failed');
    expect(resultOf(called).message.content).toContain('names 101; the limit is 100');
  });

  test('a cancelled call is cancelled', async () => {
    const called = await call(
      createOfflineModel(),
      requestOf({ messages: [userMessage('`ls`')] }),
      AbortSignal.abort(),
    );
    expect(failureOf(called).kind).toBe('cancelled');
  });
});
