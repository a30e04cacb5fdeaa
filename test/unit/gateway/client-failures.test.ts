// How a call fails, for both dialects over real HTTP.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createServer, type Server, type Socket } from 'node:net';
import { createHttpModelClient } from '../../../src/gateway/client.ts';
import { openAiDialect } from '../../../src/gateway/dialects/openai.ts';
import { isRetryableFailure, type ModelFailureKind, type ModelMessage } from '../../../src/protocol/model.ts';
import type { ScriptedReply } from '../../support/model-servers.ts';
import { failureCases } from './failure-cases.ts';
import {
  call,
  clientAt,
  dialects,
  endpointAt,
  failureOf,
  requestOf,
  resultOf,
  testKey,
  userMessage,
  withServer,
} from './harness.ts';

for (const { name, dialect, start } of dialects) {
  describe(`${name}: a failure`, () => {
    for (const [title, reply, kind, message, more] of failureCases) {
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
