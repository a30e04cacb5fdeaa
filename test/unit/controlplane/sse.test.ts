// The SSE parser: the specification's cases, and any cut of the bytes gives the same events.
import { expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { createSseParser, type ServerSentEvent } from '../../../src/controlplane/sse.ts';

function parse(text: string, cuts: readonly number[] = []): readonly ServerSentEvent[] {
  const parser = createSseParser();
  const bytes = new TextEncoder().encode(text);
  const edges = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  return edges.slice(1).flatMap((edge, index) => parser.push(bytes.subarray(edges[index], edge)));
}

test('fields, multi-line data, comments, no space after the colon, fields without colon', () => {
  expect(parse(': hello\nid: 7\nevent:status\ndata: {"a":\ndata:1}\nretry: 5\nunknown\n\n')).toEqual([
    { id: '7', event: 'status', data: '{"a":\n1}' },
  ]);
});
test('CRLF', () => {
  expect(parse('event: a\r\ndata: x\r\n\r\n')).toEqual([{ id: undefined, event: 'a', data: 'x' }]);
});
test('the id stays, the event name does not; an event without data is none; only one leading space goes', () => {
  expect(parse('id: 1\nevent: a\ndata: x\n\nevent: b\n\ndata:  y\n\n')).toEqual([
    { id: '1', event: 'a', data: 'x' },
    { id: '1', event: 'message', data: ' y' },
  ]);
});
test('an unfinished event at the end is dropped', () => {
  expect(parse('data: x\n\ndata: half')).toEqual([{ id: undefined, event: 'message', data: 'x' }]);
});
test('an event that is too long is an error that is not tried again', () => {
  expect(() => parse(`data: ${'x'.repeat(4_000_001)}\n\n`)).toThrow('an event of more than 4000000 characters');
});
test('any cut of the bytes gives the same events', () => {
  const event = fc.record({
    id: fc.stringMatching(/^[a-z0-9_]{1,8}$/),
    event: fc.stringMatching(/^[a-z_]{1,12}$/),
    lines: fc.array(
      fc.string({ unit: 'grapheme' }).map((line) => line.replaceAll(/[\r\n]/g, '')),
      { minLength: 1, maxLength: 3 },
    ),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 5 }), fc.array(fc.nat(), { maxLength: 30 }), (events, cuts) => {
      const text = events
        .map(
          ({ id, event: name, lines }) =>
            `id: ${id}\nevent: ${name}\n${lines.map((line) => `data: ${line}\n`).join('')}\n`,
        )
        .join('');
      expect(parse(text, cuts)).toEqual(
        events.map(({ id, event: name, lines }) => ({ id, event: name, data: lines.join('\n') })),
      );
    }),
  );
});
