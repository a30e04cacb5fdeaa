// The parser of server-sent events: the rules of the specification, and that no split of the bytes changes the result.
import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { createSseParser, type ServerSentEvent } from '../../../src/lib/sse.ts';

function parse(chunks: readonly Uint8Array[]): ServerSentEvent[] {
  const parser = createSseParser();
  return chunks.flatMap((chunk) => {
    const events = parser.push(chunk);
    if (events === 'too_long') throw new Error('too long');
    return events;
  });
}

function parseText(text: string): ServerSentEvent[] {
  return parse([new TextEncoder().encode(text)]);
}

const message = (data: string): ServerSentEvent => ({ event: 'message', data });

describe('one chunk', () => {
  const cases: [string, string, ServerSentEvent[]][] = [
    ['a line of data', 'data: x\n\n', [message('x')]],
    ['lines of data', 'data: a\ndata: b\ndata\ndata:c\n\n', [message('a\nb\n\nc')]],
    ['only the first space is taken off', 'data:  x \n\n', [message(' x ')]],
    ['a name', 'event: ping\ndata: {}\n\ndata: x\n\n', [{ event: 'ping', data: '{}' }, message('x')]],
    ['a name without data', 'event: ping\n\ndata: x\n\n', [message('x')]],
    ['comments', ': keep-alive\n\n:\ndata: x\n: y\n\n', [message('x')]],
    ['fields that are not ours', 'retry: 5\nfoo: bar\ndata: x\n\n', [message('x')]],
    [
      'an id, which stays',
      'id: 1\ndata: x\n\ndata: y\n\n',
      [
        { id: '1', ...message('x') },
        { id: '1', ...message('y') },
      ],
    ],
    ['an id with NUL, which is none', 'id: 1\0\ndata: x\n\n', [message('x')]],
    ['CRLF', 'data: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n', [message('a\nb'), message('c')]],
    ['CR', 'data: a\r\rdata: b\r\r', [message('a'), message('b')]],
    ['mixed ends of line', 'data: a\r\n\ndata: b\n\r\ndata: c\r\n\r', [message('a'), message('b'), message('c')]],
    ['a byte order mark', '\uFEFFdata: x\n\n', [message('x')]],
    ['empty data', 'data\n\ndata:\n\n', [message(''), message('')]],
    ['a colon in the value', 'data: a: b\n\n', [message('a: b')]],
    ['an event that is not closed', 'data: a\n\ndata: b\n', [message('a')]],
    ['nothing', '', []],
  ];
  for (const [title, text, events] of cases) test(title, () => expect(parseText(text)).toEqual(events));
});

test('any split of the bytes gives the same events', () => {
  const end = fc.constantFrom('\n', '\r\n', '\r');
  const line = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 12 }).map((text) => `data: ${text.replace(/[\r\n]/g, '')}`),
    fc.constantFrom('', '', 'event: e', ': comment', 'data', 'data: 👩‍🚀 ü \u2028', 'id: 1', 'data:{"a":"é"}'),
  );
  const stream = fc.array(fc.tuple(line, end), { maxLength: 30 }).map((lines) => lines.flat().join(''));
  fc.assert(
    fc.property(stream, fc.array(fc.nat({ max: 600 }), { maxLength: 20 }), (text, cuts) => {
      const bytes = new TextEncoder().encode(text);
      const points = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b), bytes.length];
      const chunks = points.slice(1).map((point, index) => bytes.subarray(points[index], point));
      expect(parse(chunks)).toEqual(parseText(text));
      expect(parse(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(parseText(text));
    }),
    { numRuns: 500 },
  );
});

describe('the limit of one event', () => {
  const encoder = new TextEncoder();
  test('holds for a line without an end', () => {
    const parser = createSseParser(100);
    expect(parser.push(encoder.encode('data: '))).toEqual([]);
    expect(parser.push(encoder.encode('x'.repeat(200)))).toBe('too_long');
  });
  test('holds for an event of many lines', () => {
    const parser = createSseParser(100);
    const pushes = Array.from({ length: 60 }, () => parser.push(encoder.encode('data: x\n')));
    expect(pushes.at(-1)).toBe('too_long');
  });
  test('does not hold for many events', () => {
    const parser = createSseParser(100);
    const pushes = Array.from({ length: 60 }, () => parser.push(encoder.encode('data: x\n\n')));
    expect(pushes.every((events) => events !== 'too_long' && events.length === 1)).toBe(true);
  });
});
