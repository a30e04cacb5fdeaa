// What the dialects put on the wire, and streams in the ways that real servers differ from each other.
import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { createHttpModelClient } from '../../../src/gateway/client.ts';
import { anthropicDialect } from '../../../src/gateway/dialects/anthropic.ts';
import { openAiDialect } from '../../../src/gateway/dialects/openai.ts';
import type { DecodedAnswer, Dialect } from '../../../src/gateway/endpoint.ts';
import { createSseParser } from '../../../src/lib/sse.ts';
import type { ModelDelta, ModelMessage } from '../../../src/protocol/model.ts';
import { startScriptedAnthropic, startScriptedOpenAi, type ScriptedReply } from '../../support/model-servers.ts';
import {
  call,
  clientAt,
  dialects,
  endpointAt,
  requestOf,
  resultOf,
  shellTool,
  userMessage,
  withServer,
} from './harness.ts';

const conversation: ModelMessage[] = [
  userMessage('List the files'),
  {
    role: 'assistant',
    content: 'Two ways',
    thinking: [{ text: 'let me see', signature: 'sig' }, { text: 'not signed' }, { text: '', redacted: 'opaque' }],
    toolCalls: [
      { id: 'call.1', name: 'run_shell_command', arguments: '{"command":"ls"}' },
      { id: 'call_2', name: 'run_shell_command', arguments: '{"command": ' },
      { id: 'call_3', name: 'run_shell_command', arguments: '' },
    ],
  },
  { role: 'tool', toolCallId: 'call.1', name: 'run_shell_command', content: 'a.txt', isError: false },
  { role: 'tool', toolCallId: 'call_2', name: 'run_shell_command', content: 'not JSON', isError: true },
  { role: 'tool', toolCallId: 'call_3', name: 'run_shell_command', content: '', isError: false },
  userMessage('Go on'),
  userMessage('  '),
];
const options = { temperature: 0.5, topP: 0.9, stop: ['END'], maxOutputTokens: 1_000, tools: [shellTool] };

async function bodyOf(
  start: typeof startScriptedOpenAi,
  dialect: Dialect,
  request: Parameters<typeof requestOf>[0],
): Promise<Record<string, unknown>> {
  return await withServer(start, [{ type: 'text', text: 'x' }], async (server) => {
    await call(clientAt(dialect, server.url), requestOf(request));
    return server.requests[0]?.body ?? {};
  });
}

describe('openai on the wire', () => {
  test('the whole request', async () => {
    const body = await bodyOf(startScriptedOpenAi, openAiDialect, { messages: conversation, ...options });
    const wireCall = (id: string, args: string): unknown => ({
      id,
      type: 'function',
      function: { name: 'run_shell_command', arguments: args },
    });
    expect(body).toEqual({
      model: 'model-1',
      stream: true,
      stream_options: { include_usage: true },
      temperature: 0.5,
      top_p: 0.9,
      stop: ['END'],
      max_tokens: 1_000,
      tools: [
        {
          type: 'function',
          function: { name: shellTool.name, description: 'Runs a command', parameters: shellTool.inputSchema },
        },
      ],
      messages: [
        { role: 'system', content: 'Be brief' },
        { role: 'user', content: 'List the files' },
        {
          role: 'assistant',
          content: 'Two ways',
          tool_calls: [
            wireCall('call.1', '{"command":"ls"}'),
            wireCall('call_2', '{"unparsable_arguments":"{\\"command\\": "}'),
            wireCall('call_3', '{}'),
          ],
        },
        { role: 'tool', tool_call_id: 'call.1', content: 'a.txt' },
        { role: 'tool', tool_call_id: 'call_2', content: 'not JSON' },
        { role: 'tool', tool_call_id: 'call_3', content: '' },
        { role: 'user', content: 'Go on' },
        { role: 'user', content: '  ' },
      ],
    });
  });

  test('nothing that was not asked for', async () => {
    const body = await bodyOf(startScriptedOpenAi, openAiDialect, { systemPrompt: '' });
    expect(Object.keys(body).toSorted()).toEqual(['messages', 'model', 'stream', 'stream_options']);
    expect(body['messages']).toEqual([{ role: 'user', content: 'Hello' }]);
  });

  test("OpenAI's own name for the limit", async () => {
    await withServer(startScriptedOpenAi, [{ type: 'text', text: 'x' }], async (server) => {
      const endpoint = endpointAt(server.url, { outputLimitField: 'max_completion_tokens' });
      await call(createHttpModelClient({ dialect: openAiDialect, endpoint }), requestOf({ maxOutputTokens: 9 }));
      expect(server.requests[0]?.body).toMatchObject({ max_completion_tokens: 9 });
      expect(server.requests[0]?.body).not.toHaveProperty('max_tokens');
    });
  });

  test('a server that refuses stream_options is asked again without, and not asked with them again', async () => {
    const refusal: ScriptedReply = {
      type: 'status',
      status: 400,
      body: { error: { message: 'Unknown field: stream_options' } },
    };
    const script: ScriptedReply[] = [refusal, { type: 'text', text: 'one' }, { type: 'text', text: 'two' }];
    await withServer(startScriptedOpenAi, script, async (server) => {
      const client = clientAt(openAiDialect, server.url);
      expect(resultOf(await call(client)).message.content).toBe('one');
      const second = resultOf(await call(client));
      expect(second.message.content).toBe('two');
      expect(second.usage.inputTokens).toBe(0);
      expect(server.requests.map(({ body }) => 'stream_options' in body)).toEqual([true, false, false]);
    });
  });

  test('a server that goes on refusing is not asked for ever', async () => {
    const refusal: ScriptedReply = {
      type: 'status',
      status: 400,
      body: { error: { message: 'stream_options is evil' } },
    };
    await withServer(startScriptedOpenAi, [refusal, refusal], async ({ url }) => {
      const { outcome } = await call(clientAt(openAiDialect, url));
      expect(outcome).toMatchObject({ ok: false, failure: { kind: 'invalid_request' } });
    });
  });
});

describe('anthropic on the wire', () => {
  const cache = { cache_control: { type: 'ephemeral' } };
  test('the whole request', async () => {
    const body = await bodyOf(startScriptedAnthropic, anthropicDialect, { messages: conversation, ...options });
    expect(body).toEqual({
      model: 'model-1',
      stream: true,
      max_tokens: 1_000,
      temperature: 0.5,
      top_p: 0.9,
      stop_sequences: ['END'],
      system: [{ type: 'text', text: 'Be brief', ...cache }],
      tools: [{ name: shellTool.name, description: 'Runs a command', input_schema: shellTool.inputSchema }],
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'List the files' }] },
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'let me see', signature: 'sig' },
            { type: 'redacted_thinking', data: 'opaque' },
            { type: 'text', text: 'Two ways' },
            { type: 'tool_use', id: 'call_1', name: 'run_shell_command', input: { command: 'ls' } },
            {
              type: 'tool_use',
              id: 'call_2',
              name: 'run_shell_command',
              input: { unparsable_arguments: '{"command": ' },
            },
            { type: 'tool_use', id: 'call_3', name: 'run_shell_command', input: {} },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'call_1', content: 'a.txt' },
            { type: 'tool_result', tool_use_id: 'call_2', content: 'not JSON', is_error: true },
            { type: 'tool_result', tool_use_id: 'call_3' },
            { type: 'text', text: 'Go on' },
            { type: 'text', text: '(no text)', ...cache },
          ],
        },
      ],
    });
  });

  test('a maximum always, an empty answer never', async () => {
    const messages: ModelMessage[] = [
      userMessage('a'),
      { role: 'assistant', content: ' ', toolCalls: [] },
      userMessage('b'),
    ];
    const body = await bodyOf(startScriptedAnthropic, anthropicDialect, { messages, systemPrompt: '' });
    expect(body).toEqual({
      model: 'model-1',
      stream: true,
      max_tokens: 8_192,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b', ...cache },
          ],
        },
      ],
    });
  });

  test('thinking comes back in the next request as it was signed', async () => {
    const script: ScriptedReply[] = [
      { type: 'calls', calls: [{ name: 'a', arguments: { b: 1 }, id: 'id-1' }], thinking: 'I should call a' },
      { type: 'text', text: 'done', usage: { input: 50, output: 2, cacheRead: 30, cacheWrite: 15 } },
    ];
    await withServer(startScriptedAnthropic, script, async (server) => {
      const client = clientAt(anthropicDialect, server.url);
      const { message } = resultOf(await call(client));
      expect(message.thinking).toEqual([{ text: 'I should call a', signature: 'signed' }]);
      const tool: ModelMessage = { role: 'tool', toolCallId: 'id-1', name: 'a', content: 'ok', isError: false };
      const result = resultOf(await call(client, requestOf({ messages: [userMessage('Hello'), message, tool] })));
      expect(result.usage).toEqual({ inputTokens: 50, outputTokens: 2, cacheReadTokens: 30, cacheWriteTokens: 15 });
      expect(server.requests[1]?.body['messages']).toMatchObject([
        {},
        { content: [{ type: 'thinking', thinking: 'I should call a', signature: 'signed' }, { type: 'tool_use' }] },
        { content: [{ type: 'tool_result' }] },
      ]);
    });
  });
});

/** Decodes a stream given as the data of its events. */
function decode(dialect: Dialect, events: readonly unknown[]): { answer: DecodedAnswer | undefined; thinking: string } {
  const deltas: ModelDelta[] = [];
  const decoder = dialect.createDecoder({ messages: [userMessage('x')], onDelta: (delta) => deltas.push(delta) });
  for (const event of events)
    decoder.push({ event: 'message', data: typeof event === 'string' ? event : JSON.stringify(event) });
  return {
    answer: decoder.finish(),
    thinking: deltas.map((delta) => (delta.type === 'thinking' ? delta.text : '')).join(''),
  };
}

const chunk = (delta: unknown, finish_reason: string | null = null): unknown => ({
  choices: [{ index: 0, delta, finish_reason }],
});
const callPiece = (piece: Record<string, unknown>): unknown => chunk({ tool_calls: [piece] });

describe('openai as servers differ', () => {
  const calls = (events: readonly unknown[]): [string, string][] =>
    decode(openAiDialect, [...events, '[DONE]']).answer?.toolCalls.map((made) => [made.name, made.arguments]) ?? [];

  test('whole calls, all with index 0', () => {
    const whole = (id: string, name: string): unknown =>
      callPiece({ index: 0, id, function: { name, arguments: `{"n":"${name}"}` } });
    expect(calls([whole('1', 'a'), whole('2', 'b')])).toEqual([
      ['a', '{"n":"a"}'],
      ['b', '{"n":"b"}'],
    ]);
  });
  test('whole calls without index and id', () => {
    const whole = (name: string): unknown => callPiece({ function: { name, arguments: '{}' } });
    expect(calls([whole('a'), whole('a')])).toEqual([
      ['a', '{}'],
      ['a', '{}'],
    ]);
  });
  test('pieces without index', () => {
    const events = [
      callPiece({ id: '1', function: { name: 'a', arguments: '{"x"' } }),
      callPiece({ function: { arguments: ':1}' } }),
    ];
    expect(calls(events)).toEqual([['a', '{"x":1}']]);
  });
  test('interleaved pieces, the name and id repeated', () => {
    const piece = (index: number, text: string): unknown =>
      callPiece({ index, id: `id${index}`, function: { name: `f${index}`, arguments: text } });
    expect(calls([piece(0, '{"a"'), piece(1, '{"b"'), piece(0, ':1}'), piece(1, ':2}')])).toEqual([
      ['f0', '{"a":1}'],
      ['f1', '{"b":2}'],
    ]);
  });
  test('arguments as an object', () => {
    expect(calls([callPiece({ index: 0, function: { name: 'a', arguments: { b: 1 } } })])).toEqual([['a', '{"b":1}']]);
  });
  test('calls that end with stop', () => {
    const events = [
      callPiece({ index: 0, id: '1', function: { name: 'a', arguments: '{}' } }),
      chunk({}, 'stop'),
      '[DONE]',
    ];
    expect(decode(openAiDialect, events).answer?.finishReason).toBe('tool_calls');
  });
  test('a finish reason but no [DONE]', () => {
    expect(decode(openAiDialect, [chunk({ content: 'a' }), chunk({}, 'stop')]).answer?.content).toBe('a');
  });
  test('neither of them', () => {
    expect(decode(openAiDialect, [chunk({ content: 'a' })]).answer).toBeUndefined();
  });
  test('thinking under each of its names', () => {
    const parts = [
      { type: 'thinking', thinking: [{ type: 'text', text: 'c' }] },
      { type: 'text', text: 'd' },
    ];
    const { answer, thinking } = decode(openAiDialect, [
      chunk({ reasoning_content: 'a', content: null }),
      chunk({ reasoning: 'b' }),
      chunk({ content: parts }),
      chunk({ refusal: 'e' }),
      '[DONE]',
    ]);
    expect([thinking, answer?.content]).toEqual(['abc', 'de']);
  });
  test('usage beside the last choice, and under other names', () => {
    const usage = { prompt_tokens: 9, completion_tokens: 4, prompt_cache_hit_tokens: 3 };
    const events = [
      { choices: [{ delta: { content: 'a' }, finish_reason: 'stop' }], usage, model: 'real-name' },
      '[DONE]',
    ];
    const { answer } = decode(openAiDialect, events);
    expect(answer?.usage).toEqual({ inputTokens: 9, outputTokens: 4, cacheReadTokens: 3, cacheWriteTokens: 0 });
    expect(answer?.model).toBe('real-name');
  });
  test('values of the wrong type count as none', () => {
    const usage = { prompt_tokens: 'many', completion_tokens: -1, prompt_tokens_details: 7 };
    const events = [
      chunk({ content: 5, tool_calls: [null, 'x'] }),
      chunk(null),
      { choices: 'x', usage, error: null },
      '[DONE]',
    ];
    expect(decode(openAiDialect, events).answer).toMatchObject({
      content: '',
      toolCalls: [],
      usage: { inputTokens: 0, outputTokens: 0 },
    });
  });
});

/** Streams of a scripted server, taken from the wire as bytes. */
async function bytesOf(start: typeof startScriptedOpenAi, reply: ScriptedReply): Promise<Uint8Array> {
  return await withServer(start, [reply], async ({ url }) => {
    const path = url.endsWith('/v1') ? '/chat/completions' : '/v1/messages';
    const response = await fetch(url + path, { method: 'POST', body: '{"model":"m","stream_options":{}}' });
    return new Uint8Array(await response.arrayBuffer());
  });
}

describe('any split of the bytes gives the same answer', () => {
  for (const { name, dialect, start } of dialects) {
    test(name, async () => {
      const bytes = await bytesOf(start, {
        type: 'calls',
        text: 'Grüße 👩‍🚀\n\n"quoted"',
        thinking: 'dénk',
        calls: [
          { name: 'a', arguments: { text: '日本 \u2028 \\ "' }, id: '1' },
          { name: 'b', arguments: '{"broken', id: '2' },
        ],
      });
      const read = (chunks: readonly Uint8Array[]): unknown => {
        const parser = createSseParser();
        const deltas: ModelDelta[] = [];
        const decoder = dialect.createDecoder({ messages: [], onDelta: (delta) => deltas.push(delta) });
        for (const piece of chunks) {
          const events = parser.push(piece);
          if (events === 'too_long') throw new Error('too long');
          for (const event of events) decoder.push(event);
        }
        return { answer: decoder.finish(), deltas };
      };
      const whole = read([bytes]);
      expect(whole).toMatchObject({
        answer: { content: 'Grüße 👩‍🚀\n\n"quoted"', toolCalls: [{ id: '1' }, { arguments: '{"broken' }] },
      });
      fc.assert(
        fc.property(fc.array(fc.nat({ max: bytes.length }), { maxLength: 30 }), (cuts) => {
          const points = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
          expect(read(points.slice(1).map((point, at) => bytes.subarray(points[at], point)))).toEqual(whole);
        }),
        { numRuns: 200 },
      );
      expect(read(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(whole);
    });

    test(`${name}: a cut anywhere gives no answer or the whole one`, async () => {
      const bytes = await bytesOf(start, { type: 'text', text: 'Grüße an alle', thinking: 'hm' });
      for (let end = 0; end <= bytes.length; end += 1) {
        const parser = createSseParser();
        const decoder = dialect.createDecoder({ messages: [], onDelta: () => undefined });
        const events = parser.push(bytes.subarray(0, end));
        if (events === 'too_long') throw new Error('too long');
        for (const event of events) expect(decoder.push(event).type).not.toBe('garbage');
        const answer = decoder.finish();
        if (answer !== undefined) expect(answer.content).toBe('Grüße an alle');
        if (end === bytes.length) expect(answer).toBeDefined();
      }
    });
  }
});
