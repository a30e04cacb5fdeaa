// What a call gives, for both dialects over real HTTP.
import { describe, expect, test } from 'bun:test';
import type { ModelMessage } from '../../../src/protocol/model.ts';
import type { ScriptedReply } from '../../support/model-servers.ts';
import {
  call,
  clientAt,
  dialects,
  requestOf,
  resultOf,
  shellTool,
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
      const script: ScriptedReply[] = [1, 2, 3].map(() => ({ type: 'text', text: 'x', endDelayMs: 10 }));
      await withServer(start, script, async (server) => {
        const client = clientAt(dialect, server.url);
        for (let at = 0; at < 3; at += 1) resultOf(await call(client));
        for (const request of server.requests) sockets.add(request.remotePort);
        expect(sockets.size).toBe(1);
      });
    });
  });
}
