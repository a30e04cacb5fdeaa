// The exporter of OpenTelemetry: what it does with every answer, how much it keeps, and the ids of spans.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { systemClock } from '../../../src/lib/clock.ts';
import { parseTraceParent } from '../../../src/lib/trace-context.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import type { WorkFact } from '../../../src/telemetry/meter.ts';
import { attributesOf, createExportQueue, type OtlpOptions, postOtlp } from '../../../src/telemetry/otlp.ts';
import { createTracer } from '../../../src/telemetry/tracing.ts';

let server: Server;
let url = '';
let answer: (request: IncomingMessage, response: ServerResponse, body: string) => void;
const bodies: string[] = [];
beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      bodies.push(body);
      answer(request, response, body);
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/v1/traces`;
});
beforeEach(() => void bodies.splice(0));
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
});

const options = (): OtlpOptions => ({
  url,
  headers: { 'x-key': 'k' },
  timeoutMs: 300,
  resource: { 'service.name': 's' },
  fetch: (to, init) => fetch(to, init),
  clock: systemClock,
  log: silentLog,
});
const post = () => postOtlp(options(), { hello: 1 }, new AbortController().signal);
const replyWith =
  (status: number, headers: Record<string, string> = {}, body = '') =>
  (_request: IncomingMessage, response: ServerResponse): void =>
    void response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers }).end(body);

describe('an answer', () => {
  test.each([
    [200, {}, '{}', { type: 'taken', rejected: 0 }],
    [200, {}, 'not json', { type: 'taken', rejected: 0 }],
    [
      200,
      {},
      '{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}',
      { type: 'taken', rejected: 2, reason: 'too old' },
    ],
    [429, { 'retry-after': '2' }, '', { type: 'passing', retryAfterMs: 2_000 }],
    [503, { 'retry-after': '86400' }, '', { type: 'passing', retryAfterMs: 60_000 }],
    [503, { 'retry-after': 'soon' }, '', { type: 'passing', reason: 'it answered 503' }],
    [502, {}, '', { type: 'passing' }],
    [400, {}, '', { type: 'refused', reason: 'it answered 400' }],
    [401, {}, '', { type: 'refused' }],
    [307, { location: 'http://127.0.0.1:1/' }, '', { type: 'refused' }],
    [500, {}, '', { type: 'refused' }],
  ])('%i %j %s', async (status, headers, body, expected) => {
    answer = replyWith(status, headers, body);
    expect(await post()).toMatchObject(expected);
  });

  test('that is a date in Retry-After, a cut, a hang, a flood', async () => {
    answer = replyWith(503, { 'retry-after': new Date(Date.now() + 5_000).toUTCString() });
    const dated = await post();
    expect(dated.type === 'passing' && (dated.retryAfterMs ?? 0) > 2_000).toBe(true);
    answer = (_request, response) => void response.destroy();
    expect((await post()).type).toBe('passing');
    answer = () => undefined;
    const startedMs = performance.now();
    expect((await post()).type).toBe('passing');
    expect(performance.now() - startedMs).toBeLessThan(2_000);
    answer = (_request, response) => {
      response.writeHead(200);
      const flood = setInterval(() => response.write('x'.repeat(100_000)), 1);
      response.on('close', () => clearInterval(flood));
    };
    expect(await post()).toMatchObject({ type: 'taken', rejected: 0 });
  });
});

test('attributes have the types of protobuf’s JSON', () => {
  expect(attributesOf({ a: 's', b: 1, c: 1.5, d: true, e: ['x'], f: undefined, g: 2 ** 60 })).toEqual([
    { key: 'a', value: { stringValue: 's' } },
    { key: 'b', value: { intValue: '1' } },
    { key: 'c', value: { doubleValue: 1.5 } },
    { key: 'd', value: { boolValue: true } },
    { key: 'e', value: { arrayValue: { values: [{ stringValue: 'x' }] } } },
    { key: 'g', value: { doubleValue: 2 ** 60 } },
  ]);
});

describe('the queue', () => {
  test('keeps a bounded number while nobody takes them, counts the rest, and ends in time', async () => {
    answer = () => undefined;
    const queue = createExportQueue<number>({ ...options(), timeoutMs: 60_000 }, (items) => items);
    const startedMs = performance.now();
    for (let item = 0; item < 10_000; item += 1) queue.push(item);
    expect(performance.now() - startedMs).toBeLessThan(500);
    expect(queue.counters).toEqual({ exported: 0, dropped: 10_000 - 2_048 });
    await queue.stop(200);
    expect(performance.now() - startedMs).toBeLessThan(3_000);
    expect(queue.counters).toEqual({ exported: 0, dropped: 10_000 });
    queue.push(1);
    expect(queue.counters.dropped).toBe(10_001);
  });

  test('sends batches of 512 in order, and at its end what is left', async () => {
    answer = replyWith(200, {}, '{}');
    const queue = createExportQueue<number>(options(), (items) => items);
    const all = Array.from({ length: 1_300 }, (_one, index) => index);
    for (const item of all) queue.push(item);
    await queue.stop(5_000);
    expect(queue.counters).toEqual({ exported: 1_300, dropped: 0 });
    const batches = bodies.map((body) => JSON.parse(body) as number[]);
    expect(batches.map(({ length }) => length)).toEqual([512, 512, 276]);
    expect(batches.flat()).toEqual(all);
  });

  test('repeats a batch that may pass, and drops one that was refused without holding up the next', async () => {
    answer = (_request, response, body) =>
      void response
        .writeHead(body.includes('poison') ? 400 : bodies.length === 1 ? 503 : 200, { 'retry-after': '0' })
        .end();
    const queue = createExportQueue<string>(options(), (items) => items);
    for (let item = 0; item < 512; item += 1) queue.push('fine');
    for (let item = 0; item < 512; item += 1) queue.push('poison');
    queue.push('last');
    await queue.stop(5_000);
    expect(queue.counters).toEqual({ exported: 513, dropped: 512 });
  });
});

describe('spans', () => {
  const fact: WorkFact = {
    type: 'tool_called',
    executionId: 'e1',
    agentName: 'a',
    startedAtMs: 1_795_536_170_429.25,
    durationMs: 12,
    callId: 'c1',
    tool: 'x'.repeat(5_000),
    isKnown: false,
    outcome: 'failed',
  };
  const spansOf = async (...facts: WorkFact[]): Promise<Record<string, unknown>[]> => {
    answer = replyWith(200, {}, '{}');
    bodies.splice(0);
    const tracer = createTracer({ ...options(), version: '1', providerOf: () => undefined });
    for (const one of facts) tracer.record(one);
    await tracer.stop(2_000);
    type Body = { resourceSpans: { scopeSpans: { spans: Record<string, unknown>[] }[] }[] };
    return bodies.flatMap((body) => (JSON.parse(body) as Body).resourceSpans[0]?.scopeSpans[0]?.spans ?? []);
  };

  test('of two workers join one trace, and one that is sent twice is the same', async () => {
    const [one] = await spansOf(fact);
    const [same, other, stranger] = await spansOf(fact, { ...fact, callId: 'c2' }, { ...fact, executionId: 'e2' });
    expect(same).toEqual(one ?? {});
    expect(other?.['traceId']).toBe(String(one?.['traceId']));
    expect(other?.['parentSpanId']).toBe(String(one?.['parentSpanId']));
    expect(other?.['spanId']).not.toBe(one?.['spanId']);
    expect(stranger?.['traceId']).not.toBe(one?.['traceId']);
  });

  test('have times in nanoseconds and names of a bounded length', async () => {
    const [span] = await spansOf(fact);
    expect(span?.['startTimeUnixNano']).toBe('1795536170429250000');
    expect(span?.['endTimeUnixNano']).toBe('1795536170441250000');
    expect(String(span?.['name']).length).toBeLessThan(250);
  });
});

test.each([
  ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', true],
  ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00', false],
  ['cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-later', true],
  ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more', undefined],
  ['ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', undefined],
  ['00-00000000000000000000000000000000-00f067aa0ba902b7-01', undefined],
  ['00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01', undefined],
  ['00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01', undefined],
  ['', undefined],
  [undefined, undefined],
])('the trace context %p is sampled: %p', (text, isSampled) => {
  expect(parseTraceParent(text)?.isSampled).toBe(isSampled);
});
