// What a call gives and how it fails, for both dialects over real HTTP.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createServer, type Server, type Socket } from 'node:net';
import { createHttpModelClient } from '../../../src/gateway/client.ts';
import { openAiDialect } from '../../../src/gateway/dialects/openai.ts';
import { isRetryableFailure, type ModelFailureKind, type ModelMessage } from '../../../src/protocol/model.ts';
import type { ScriptedReply } from '../../support/model-servers.ts';
import {
  call,
  clientAt,
  dialects,
  endpointAt,
  failureOf,
  requestOf,
  resultOf,
  shellTool,
  testKey,
  textOf,
  userMessage,
  withServer,
} from './harness.ts';

for (const { name, dialect, start } of dialects) {
  describe(`${name}: an answer`, () => {
    test('streams text in pieces and reports usage', async () => {
      const usage = { input: 100, output: 7, cacheRead: 60 };
      await withServer(
        start,
        [{ type: 'text', text: 'Grüße 👋 an alle', chunks: 4, thinking: 'hm, well', usage }],
        async ({ url }) => {
          const called = await call(clientAt(dialect, url));
          const result = resultOf(called);
          expect(result.message.content).toBe('Grüße 👋 an alle');
          expect(textOf(called)).toBe(result.message.content);
          expect(textOf(called, 'thinking')).toBe('hm, well');
          expect(called.deltas.length).toBeGreaterThan(5);
          expect(result.message.toolCalls).toEqual([]);
          expect(result.finishReason).toBe('stop');
          expect(result.usage).toEqual({ inputTokens: 100, outputTokens: 7, cacheReadTokens: 60, cacheWriteTokens: 0 });
          expect(result.model).toBe('model-1');
          expect(result.durationMs).toBeGreaterThanOrEqual(result.firstDeltaMs ?? Number.POSITIVE_INFINITY);
          expect(result.verdict).toBeUndefined();
        },
      );
    });

    test('gives deltas as they arrive, not at the end', async () => {
      await withServer(start, [{ type: 'text', text: 'abcdef', chunks: 6, delayMs: 40 }], async ({ url }) => {
        const times: number[] = [];
        await clientAt(dialect, url).complete(
          requestOf(),
          () => times.push(performance.now()),
          new AbortController().signal,
        );
        expect(times).toHaveLength(6);
        expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(120);
      });
    });

    test('assembles parallel calls from pieces and keeps malformed arguments as they are', async () => {
      const calls = [
        { name: 'a', arguments: { text: 'x"y\n' }, id: 'id-1' },
        { name: 'b', arguments: '{"broken": ', id: 'id-2' },
        { name: 'c', arguments: '', id: 'id-3' },
      ];
      await withServer(start, [{ type: 'calls', calls, text: 'On it', chunks: 5 }], async ({ url }) => {
        const result = resultOf(await call(clientAt(dialect, url), requestOf({ tools: [shellTool] })));
        expect(result.finishReason).toBe('tool_calls');
        expect(result.message.content).toBe('On it');
        expect(result.message.toolCalls.slice(0, 2)).toEqual([
          { id: 'id-1', name: 'a', arguments: '{"text":"x\\"y\\n"}' },
          { id: 'id-2', name: 'b', arguments: '{"broken": ' },
        ]);
        expect(['', '{}']).toContain(result.message.toolCalls[2]?.arguments ?? 'missing');
      });
    });

    test('makes ids where the server sends none or one that is taken, the same each time', async () => {
      const calls = [
        { name: 'a', arguments: {}, id: null },
        { name: 'b', arguments: {}, id: 'taken' },
        { name: 'c', arguments: {}, id: 'new' },
      ];
      const messages: ModelMessage[] = [
        userMessage('Hello'),
        { role: 'assistant', content: '', toolCalls: [{ id: 'taken', name: 'b', arguments: '{}' }] },
        { role: 'tool', toolCallId: 'taken', name: 'b', content: 'done', isError: false },
      ];
      const script: ScriptedReply[] = [1, 2].map(() => ({ type: 'calls', calls }));
      await withServer(start, script, async ({ url }) => {
        const ids = async (): Promise<string[]> =>
          resultOf(await call(clientAt(dialect, url), requestOf({ messages }))).message.toolCalls.map(({ id }) => id);
        const first = await ids();
        expect(first).toEqual(['call_3_0', 'call_3_1', 'new']);
        expect(await ids()).toEqual(first);
      });
    });

    test('may come as one document', async () => {
      const calls = [{ name: 'a', arguments: { b: 1 }, id: 'id-1' }];
      await withServer(start, [{ type: 'calls', calls, text: 'Now', isWhole: true }], async ({ url }) => {
        const called = await call(clientAt(dialect, url));
        expect(resultOf(called).message).toEqual({
          role: 'assistant',
          content: 'Now',
          toolCalls: [{ id: 'id-1', name: 'a', arguments: '{"b":1}' }],
        });
        expect(textOf(called)).toBe('Now');
        expect(resultOf(called).usage.inputTokens).toBe(10);
      });
    });

    test('says why it ended', async () => {
      const words =
        name === 'openai' ? ['length', 'content_filter', 'stop'] : ['max_tokens', 'refusal', 'stop_sequence'];
      const script: ScriptedReply[] = words.map((finishReason) => ({ type: 'text', text: 'x', finishReason }));
      await withServer(start, script, async ({ url }) => {
        const client = clientAt(dialect, url);
        const reasons = [await call(client), await call(client), await call(client)].map(
          (called) => resultOf(called).finishReason,
        );
        expect(reasons).toEqual(['length', 'content_filter', 'stop']);
      });
    });

    test('may be empty', async () => {
      await withServer(start, [{ type: 'text', text: '' }], async ({ url }) => {
        const called = await call(clientAt(dialect, url));
        expect(resultOf(called).message.content).toBe('');
        expect(called.deltas).toEqual([]);
      });
    });

    test('keeps the connection for the next call', async () => {
      const sockets = new Set<unknown>();
      const script: ScriptedReply[] = [1, 2, 3].map(() => ({ type: 'text', text: 'x' }));
      await withServer(start, script, async (server) => {
        const client = clientAt(dialect, server.url);
        for (let at = 0; at < 3; at += 1) resultOf(await call(client));
        for (const request of server.requests) sockets.add(request.remotePort);
        expect(sockets.size).toBe(1);
      });
    });
  });

  describe(`${name}: a failure`, () => {
    /** Each reply with the kind it must give, what its message must hold, and fields of the failure. */
    const error = (message: string, more: Record<string, unknown> = {}): unknown => ({ error: { message, ...more } });
    const cases: [string, ScriptedReply, ModelFailureKind, RegExp, Record<string, unknown>?][] = [
      [
        '429 with seconds',
        { type: 'status', status: 429, headers: { 'retry-after': '7' }, body: error('slow down') },
        'rate_limited',
        /Testing Inc model model-1.*slow down/,
        { retryAfterMs: 7_000, status: 429 },
      ],
      [
        '429 with milliseconds',
        { type: 'status', status: 429, headers: { 'retry-after-ms': '250', 'retry-after': '1' } },
        'rate_limited',
        /rate/,
        { retryAfterMs: 250 },
      ],
      ['429 without', { type: 'status', status: 429 }, 'rate_limited', /429/, { retryAfterMs: 'none' }],
      [
        '429 with nonsense',
        { type: 'status', status: 429, headers: { 'retry-after': 'soon' } },
        'rate_limited',
        /429/,
        { retryAfterMs: 'none' },
      ],
      [
        '429 with a year',
        { type: 'status', status: 429, headers: { 'retry-after': '31536000' } },
        'rate_limited',
        /429/,
        { retryAfterMs: 3_600_000 },
      ],
      [
        '429 with a past date',
        { type: 'status', status: 429, headers: { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' } },
        'rate_limited',
        /429/,
        { retryAfterMs: 0 },
      ],
      [
        '429 for an empty account',
        { type: 'status', status: 429, body: error('You exceeded your current quota', { code: 'insufficient_quota' }) },
        'invalid_request',
        /quota/,
      ],
      [
        '401',
        { type: 'status', status: 401, body: error(`Incorrect API key provided: ${testKey}`) },
        'authentication',
        /OPENAI_API_KEY/,
        { status: 401 },
      ],
      ['403', { type: 'status', status: 403, body: error('no') }, 'authentication', /403/],
      [
        '400',
        { type: 'status', status: 400, body: error('temperature must be below 2.') },
        'invalid_request',
        /temperature must be below 2$/,
      ],
      ['404', { type: 'status', status: 404, body: error('no such model') }, 'invalid_request', /no such model/],
      [
        '422 in the words of FastAPI',
        { type: 'status', status: 422, body: { detail: [{ msg: 'field required' }] } },
        'invalid_request',
        /field required/,
      ],
      ['408', { type: 'status', status: 408 }, 'timeout', /408/],
      [
        '413',
        { type: 'status', status: 413, body: error('too big', { type: 'request_too_large' }) },
        'context_overflow',
        /window/,
      ],
      ['500', { type: 'status', status: 500, body: error('oh no', { type: 'api_error' }) }, 'overloaded', /oh no/],
      [
        '502 with a page',
        {
          type: 'status',
          status: 502,
          body: '<html><head><title>x</title></head><body><h1>502 Bad Gateway</h1></body></html>',
        },
        'overloaded',
        /^[^<>\n]*: 502 Bad Gateway$/,
      ],
      [
        '503 with a wait',
        { type: 'status', status: 503, headers: { 'retry-after': '2' } },
        'overloaded',
        /503/,
        { retryAfterMs: 2_000 },
      ],
      [
        '529',
        {
          type: 'status',
          status: 529,
          body: { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } },
        },
        'overloaded',
        /Overloaded/,
      ],
      [
        'a redirect',
        { type: 'status', status: 307, headers: { location: 'http://127.0.0.1:9/' } },
        'bad_response',
        /307/,
      ],
      [
        'overflow of OpenAI',
        {
          type: 'status',
          status: 400,
          body: error("This model's maximum context length is 128000 tokens.", {
            code: 'context_length_exceeded',
            type: 'invalid_request_error',
          }),
        },
        'context_overflow',
        /128000/,
      ],
      [
        'overflow of Anthropic',
        {
          type: 'status',
          status: 400,
          body: {
            type: 'error',
            error: { type: 'invalid_request_error', message: 'prompt is too long: 214567 tokens > 200000 maximum' },
          },
        },
        'context_overflow',
        /214567/,
      ],
      [
        'overflow of vLLM',
        {
          type: 'status',
          status: 400,
          body: {
            object: 'error',
            message: "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
            type: 'BadRequestError',
            code: 400,
          },
        },
        'context_overflow',
        /5000/,
      ],
      [
        'overflow of Ollama',
        { type: 'status', status: 400, body: error('the input length exceeds the context length') },
        'context_overflow',
        /exceeds/,
      ],
      [
        'overflow of llama.cpp',
        {
          type: 'status',
          status: 400,
          body: error('the request exceeds the available context size, try increasing it', {
            code: 400,
            type: 'exceed_context_size_error',
          }),
        },
        'context_overflow',
        /exceeds/,
      ],
      [
        'an invalid request that speaks of context',
        { type: 'status', status: 400, body: error('context must be a string') },
        'invalid_request',
        /string/,
      ],
      [
        'a page with status 200',
        { type: 'raw', body: '<html>Welcome</html>', contentType: 'text/html' },
        'bad_response',
        /not an event stream/,
      ],
      [
        'broken JSON with status 200',
        { type: 'raw', body: '{"choi', contentType: 'application/json' },
        'bad_response',
        /not JSON/,
      ],
      [
        'another document',
        { type: 'raw', body: '{"hello": 1}', contentType: 'application/json' },
        'bad_response',
        /no answer/,
      ],
      [
        'an error document with status 200',
        {
          type: 'raw',
          body: '{"type":"error","error":{"type":"rate_limit_error","message":"later"}}',
          contentType: 'application/json',
        },
        'rate_limited',
        /later/,
      ],
      ['an event that is not JSON', { type: 'raw', body: 'data: {"a"\n\n' }, 'bad_response', /not JSON/],
      ['an empty body', { type: 'raw', body: '' }, 'cut_stream', /broke off/],
      [
        'an error inside the stream',
        {
          type: 'raw',
          body: 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
        },
        'overloaded',
        /Overloaded/,
      ],
      [
        'an error without a code inside the stream',
        { type: 'raw', body: 'data: {"type":"error","error":{"message":"upstream broke"}}\n\n' },
        'overloaded',
        /upstream broke/,
      ],
      [
        'an error with a status inside the stream',
        { type: 'raw', body: 'data: {"type":"error","error":{"message":"no credit","code":402}}\n\n' },
        'invalid_request',
        /no credit/,
        { status: 402 },
      ],
      [
        'a stream cut in the text',
        { type: 'text', text: 'a long answer that is cut '.repeat(20), chunks: 20, cutAfterBytes: 1_500 },
        'cut_stream',
        /broke off/,
      ],
      [
        'a stream cut in a call',
        { type: 'calls', calls: [{ name: 'a', arguments: { b: 'c'.repeat(900) } }], chunks: 9, cutAfterBytes: 1_500 },
        'cut_stream',
        /broke off/,
      ],
      [
        'a document that is cut',
        { type: 'text', text: 'abc', isWhole: true, cutAfterBytes: 40 },
        'cut_stream',
        /broke off/,
      ],
    ];
    for (const [title, reply, kind, message, more] of cases) {
      test(title, async () => {
        await withServer(start, [reply], async ({ url }) => {
          const failure = failureOf(await call(clientAt(dialect, url)));
          expect(failure.kind).toBe(kind);
          expect(failure.message).toMatch(message);
          expect(failure.message).not.toContain(testKey);
          expect(failure.message).not.toMatch(/\n/);
          expect({ status: failure.status, retryAfterMs: failure.retryAfterMs ?? 'none' }).toMatchObject(more ?? {});
        });
      });
    }

    test('Retry-After as a date', async () => {
      const date = new Date(Date.now() + 20_000).toUTCString();
      await withServer(start, [{ type: 'status', status: 429, headers: { 'retry-after': date } }], async ({ url }) => {
        const wait = failureOf(await call(clientAt(dialect, url))).retryAfterMs ?? 0;
        expect(wait).toBeGreaterThan(15_000);
        expect(wait).toBeLessThanOrEqual(20_000);
      });
    });

    test('no answer within the limit', async () => {
      await withServer(start, [{ type: 'hang' }], async ({ url }) => {
        const failure = failureOf(await call(clientAt(dialect, url, { firstByteMs: 150 })));
        expect(failure).toEqual({ kind: 'timeout', message: 'Testing Inc model model-1 did not answer within 0.2 s' });
      });
    });

    test('silence in the middle', async () => {
      await withServer(start, [{ type: 'text', text: 'abc', hangAfterBytes: 300 }], async ({ url }) => {
        const failure = failureOf(await call(clientAt(dialect, url, { idleMs: 200 })));
        expect(failure).toEqual({ kind: 'timeout', message: 'Testing Inc model model-1 sent nothing for 0.2 s' });
      });
    });

    test('a slow stream is no silence', async () => {
      await withServer(start, [{ type: 'text', text: 'abcdefgh', chunks: 8, delayMs: 60 }], async ({ url }) => {
        expect(resultOf(await call(clientAt(dialect, url, { idleMs: 300, firstByteMs: 300 }))).message.content).toBe(
          'abcdefgh',
        );
      });
    });

    test('nothing listens there', async () => {
      const url = await withServer(start, [], async (server) => server.url);
      const failure = failureOf(await call(clientAt(dialect, url)));
      expect(failure.kind).toBe('network');
      expect(failure.message).toMatch(/^Testing Inc at 127\.0\.0\.1:\d+ could not be reached \(\w+\)$/);
    });

    test('a name that does not resolve', async () => {
      const failure = failureOf(await call(clientAt(dialect, 'http://no-such-host.invalid/v1')));
      expect(failure.kind).toBe('network');
      expect(failure.message).toContain('no-such-host.invalid');
    });

    for (const [when, reply] of [
      ['before the answer', { type: 'hang' }],
      ['in the answer', { type: 'text', text: 'abc', hangAfterBytes: 300 }],
    ] as const satisfies [string, ScriptedReply][]) {
      test(`cancelled ${when}`, async () => {
        await withServer(start, [reply], async (server) => {
          const controller = new AbortController();
          setTimeout(() => controller.abort(), 150);
          const startedAt = performance.now();
          const failure = failureOf(await call(clientAt(dialect, server.url), requestOf(), controller.signal));
          expect(failure.kind).toBe('cancelled');
          expect(performance.now() - startedAt).toBeLessThan(1_000);
          // The provider must learn of it too: a generation that goes on costs money.
          for (let at = 0; at < 100 && server.requests[0]?.isAborted !== true; at += 1) await Bun.sleep(10);
          expect(server.requests[0]?.isAborted).toBe(true);
        });
      });
    }

    test('cancelled before it began sends nothing', async () => {
      await withServer(start, [], async (server) => {
        const failure = failureOf(await call(clientAt(dialect, server.url), requestOf(), AbortSignal.abort()));
        expect(failure.kind).toBe('cancelled');
        await Bun.sleep(50);
        expect(server.requests).toHaveLength(0);
      });
    });

    test('the key is sent, and named when it is missing', async () => {
      await withServer(
        start,
        [
          { type: 'text', text: 'x' },
          { type: 'status', status: 401, body: {} },
        ],
        async (server) => {
          await call(clientAt(dialect, server.url));
          const { authorization, 'x-api-key': apiKey } = server.requests[0]?.headers ?? {};
          expect(name === 'openai' ? authorization : apiKey).toBe(name === 'openai' ? `Bearer ${testKey}` : testKey);
          const endpoint = endpointAt(server.url, { key: undefined });
          const failure = failureOf(await call(createHttpModelClient({ dialect, endpoint })));
          expect(failure.message).toBe('Testing Inc wants a key (401) and OPENAI_API_KEY is not set');
          expect(server.requests[1]?.headers.authorization).toBeUndefined();
        },
      );
    });

    test('a broken transcript is our bug and is thrown', async () => {
      const open: ModelMessage = {
        role: 'assistant',
        content: '',
        toolCalls: [{ id: 'a', name: 'b', arguments: '{}' }],
      };
      const answer: ModelMessage = { role: 'tool', toolCallId: 'z', name: 'b', content: '', isError: false };
      const client = clientAt(dialect, 'http://127.0.0.1:9');
      for (const messages of [[userMessage('x'), open], [open, userMessage('x')], [open, answer], [answer]]) {
        await expect(call(client, requestOf({ messages }))).rejects.toThrow(/tool call/);
      }
    });

    test("a listener's exception is not taken for the provider's", async () => {
      await withServer(start, [{ type: 'text', text: 'x' }], async ({ url }) => {
        const fail = (): never => {
          throw new Error('ours');
        };
        const completed = clientAt(dialect, url).complete(requestOf(), fail, new AbortController().signal);
        await expect(completed).rejects.toThrow('ours');
      });
    });
  });
}

describe('a server below HTTP', () => {
  let server: Server;
  let behave: (socket: Socket) => void = () => undefined;
  beforeAll(async () => {
    server = createServer((socket) => {
      socket.on('error', () => undefined);
      behave(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => server.close());
  const url = (): string => {
    const address = server.address();
    return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  };

  test('that resets the connection', async () => {
    behave = (socket) => socket.once('data', () => socket.resetAndDestroy());
    expect(failureOf(await call(clientAt(openAiDialect, url()))).kind).toBe('network');
  });

  test('that does not speak HTTP', async () => {
    behave = (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n');
    expect(failureOf(await call(clientAt(openAiDialect, url()))).kind).toBe('network');
  });

  test('that sends one line without an end', async () => {
    behave = (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ');
      const piece = 'x'.repeat(1_000_000);
      const pour = (): void => {
        while (!socket.destroyed && socket.write(piece));
      };
      socket.on('drain', pour);
      pour();
    };
    const failure = failureOf(await call(clientAt(openAiDialect, url())));
    expect(failure).toEqual({
      kind: 'bad_response',
      message: 'Testing Inc model model-1 sent more than an answer can be',
    });
  });
});

test('every kind of failure says whether another attempt makes sense', () => {
  const retryable: ModelFailureKind[] = [
    'rate_limited',
    'overloaded',
    'timeout',
    'network',
    'cut_stream',
    'bad_response',
  ];
  const final: ModelFailureKind[] = ['authentication', 'invalid_request', 'context_overflow', 'cancelled'];
  expect(retryable.every(isRetryableFailure)).toBe(true);
  expect(final.some(isRetryableFailure)).toBe(false);
});
