// The event stream: order, resumption without loss or repetition, slow and vanishing readers, the end.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:net';
import { startTestServer, startTestTemporal, callerOf, testToken, waitFor, type Call } from './support.ts';
import type { DevServer } from '../../src/server/dev-server.ts';
import type { ControlPlane } from '../../src/server/start.ts';

const directory = mkdtempSync(join(tmpdir(), 'kubiya-stream-'));
const databasePath = join(directory, 'server.sqlite');
let devServer: DevServer;
let server: ControlPlane;
let call: Call;

beforeAll(async () => {
  devServer = await startTestTemporal();
  server = await startTestServer(devServer.address, { databasePath });
  call = callerOf(server.url);
}, 60_000);
afterAll(async () => {
  await server.stop();
  await devServer.stop();
  rmSync(directory, { recursive: true, force: true });
});

interface Frame {
  readonly id?: string;
  readonly event: string;
  readonly data: Record<string, unknown>;
}

/** A reader of frames that can stop in the middle. */
async function openStream(id: string, lastEventId?: string, url = server.url) {
  const abort = new AbortController();
  const response = await fetch(`${url}/api/v1/executions/${id}/stream`, {
    headers: {
      authorization: `Bearer ${testToken}`,
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    },
    signal: abort.signal,
  });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  async function* frames(): AsyncGenerator<Frame> {
    const decoder = new TextDecoder();
    let text = '';
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(chunk, { stream: true });
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const block = text.slice(0, end);
        text = text.slice(end + 2);
        const fields = Object.fromEntries(
          block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
        );
        if (fields['event'] !== undefined)
          yield {
            ...(fields['id'] === undefined ? {} : { id: fields['id'] }),
            event: fields['event'],
            data: JSON.parse(fields['data'] ?? '') as Record<string, unknown>,
          };
      }
    }
  }
  return { frames: frames(), close: () => abort.abort() };
}

async function readAll(id: string, lastEventId?: string): Promise<Frame[]> {
  const { frames } = await openStream(id, lastEventId);
  const all: Frame[] = [];
  for await (const frame of frames) all.push(frame);
  return all;
}

/** An execution that no worker takes: the test plays the worker. */
async function newExecution(): Promise<string> {
  const { body } = await call('POST', '/api/v1/agents/default/execute', { prompt: 'x' });
  return String(body['execution_id']);
}
const chunk = (index: number) => ({
  event_id: `c:${index}`,
  event_type: 'message_chunk',
  data: { role: 'assistant', content: `${index} `, is_chunk: true, message_id: 'm' },
  timestamp: new Date().toISOString(),
});
const publish = async (id: string, events: unknown[]) => {
  const answer = await call('POST', `/api/v1/executions/${id}/events/batch`, { events });
  expect(answer.status).toBe(202);
  return answer.body;
};
const finish = (id: string) => call('PATCH', `/api/v1/executions/${id}`, { status: 'completed', response: 'done' });
const contentOf = (frames: Frame[]) =>
  frames
    .filter(({ event }) => event === 'message_chunk')
    .map(({ data }) => (data['data'] as { content: string }).content)
    .join('');

describe('order and shape', () => {
  test('history, its mark, what happens, status, done, end', async () => {
    const id = await newExecution();
    const message = {
      event_id: 'm:1',
      event_type: 'message',
      data: { role: 'user', content: 'hi\nthere', message_id: 'm1' },
      timestamp: '2026-01-01T00:00:00Z',
    };
    await publish(id, [message]);
    const reading = readAll(id);
    await Bun.sleep(50);
    const tool = {
      event_id: 't:1',
      event_type: 'tool_started',
      data: { tool_name: 'shell', tool_execution_id: 't1' },
      timestamp: '2026-01-01T00:00:01Z',
    };
    await publish(id, [
      tool,
      { ...tool, event_id: 'd', event_type: 'done' },
      { ...tool, event_id: 's', event_type: 'status' },
    ]);
    await finish(id);
    const frames = await reading;
    expect(frames.map(({ event }) => event)).toEqual([
      'connected',
      'message',
      'history_complete',
      'tool_started',
      'status',
      'done',
    ]);
    expect(frames[1]?.data).toMatchObject({
      role: 'user',
      content: 'hi\nthere',
      message_id: 'm1',
      timestamp: '2026-01-01T00:00:00Z',
    });
    expect(frames[2]).toEqual({
      event: 'history_complete',
      data: { execution_id: id, message_count: 1, is_truncated: false, has_more: false },
    });
    expect(frames[3]?.data).toEqual({
      event_type: 'tool_started',
      data: tool.data,
      timestamp: tool.timestamp,
      event_id: 't:1',
    });
    expect(frames[4]?.data).toMatchObject({ status: 'completed', execution_id: id, source: 'worker' });
    expect(frames[5]?.data).toMatchObject({
      execution_id: id,
      status: 'completed',
      response: 'done',
      usage: {},
      duration_ms: expect.any(Number),
    });
    expect(frames[1]?.id).toMatch(new RegExp(`^${id}_1_\\d{16}$`));
  });

  test('an event that arrives after the final report still stands before done', async () => {
    const id = await newExecution();
    await finish(id);
    await publish(id, [chunk(1)]);
    expect((await readAll(id)).map(({ event }) => event)).toEqual([
      'connected',
      'status',
      'message_chunk',
      'history_complete',
      'done',
    ]);
  });

  test('an event id counts once per execution', async () => {
    const [a, b] = [await newExecution(), await newExecution()];
    expect(await publish(a, [chunk(1), chunk(2), chunk(1)])).toEqual({ accepted: 2, duplicates: 1 });
    expect(await publish(a, [chunk(2), chunk(3)])).toEqual({ accepted: 1, duplicates: 1 });
    expect(await publish(b, [chunk(1)])).toEqual({ accepted: 1, duplicates: 0 });
    const single = { event_type: 'notice', data: { code: 'x', message: 'y' } };
    expect((await call('POST', `/api/v1/executions/${a}/events`, single)).status).toBe(202);
    await finish(a);
    expect(contentOf(await readAll(a))).toBe('1 2 3 ');
  });

  test('too much is refused: an event, a batch, an empty one', async () => {
    const id = await newExecution();
    const large = { ...chunk(1), data: { content: 'x'.repeat(1_100_000) } };
    expect(
      (await call('POST', `/api/v1/executions/${id}/events/batch`, { events: [chunk(2), large] })).body,
    ).toMatchObject({ code: 'event_too_large', event_id: 'c:1' });
    expect(
      (
        await call('POST', `/api/v1/executions/${id}/events/batch`, {
          events: Array.from({ length: 501 }, (_, index) => chunk(index)),
        })
      ).status,
    ).toBe(422);
    expect((await call('POST', `/api/v1/executions/${id}/events/batch`, { events: [] })).status).toBe(422);
    expect((await call('GET', `/api/v1/executions/${id}/events`)).body).toEqual([] as never);
  });
});

describe('resumption', () => {
  test('a reader that reconnects 20 times in 2,000 events reads the same text, live and across restarts', async () => {
    const id = await newExecution();
    const expected = Array.from({ length: 2_000 }, (_, index) => `${index} `).join('');
    const writing = (async () => {
      for (let index = 0; index < 2_000; index += 20) {
        await publish(
          id,
          Array.from({ length: 20 }, (_, offset) => chunk(index + offset)),
        );
        // The reader must meet both history and live events.
        await Bun.sleep(2);
      }
      await finish(id);
    })();
    const frames: Frame[] = [];
    let last: string | undefined;
    let isDone = false;
    let connections = 0;
    while (!isDone) {
      connections += 1;
      const { frames: part, close } = await openStream(id, last);
      let count = 0;
      for await (const frame of part) {
        frames.push(frame);
        last = frame.id ?? last;
        isDone ||= frame.event === 'done';
        count += 1;
        if (count >= 100 && connections <= 20) break;
      }
      close();
    }
    await writing;
    expect(connections).toBeGreaterThan(20);
    expect(contentOf(frames)).toBe(expected);
    expect(frames.some(({ event }) => event === 'gap_detected')).toBe(false);

    // The numbers survive a restart: a reader goes on where it was.
    const middle = frames.filter(({ event }) => event === 'message_chunk')[999]?.id;
    await server.stop();
    server = await startTestServer(devServer.address, { databasePath });
    call = callerOf(server.url);
    expect(contentOf(await readAll(id, middle))).toBe(expected.slice(expected.indexOf('1000 ')));
    expect(contentOf(await readAll(id))).toBe(expected);
  }, 60_000);

  test.each([
    ['of another execution', (own: string, other: string) => own.replace(/^[^_]+/, other)],
    ['with another time', (own: string) => `${own.slice(0, -1)}${own.endsWith('0') ? '1' : '0'}`],
    ['beyond the log', (own: string) => own.replace(/_\d+_/, '_999_')],
    ['that is nonsense', () => 'nonsense'],
  ])('an id %s is a gap, and everything is sent again', async (_name, forge) => {
    const [id, other] = [await newExecution(), await newExecution()];
    await publish(id, [chunk(1), chunk(2)]);
    await finish(id);
    const ids = (await readAll(id)).flatMap((frame) => frame.id ?? []);
    const frames = await readAll(id, forge(ids[1] ?? '', other));
    expect(frames.map(({ event }) => event)).toEqual([
      'connected',
      'gap_detected',
      'message_chunk',
      'message_chunk',
      'status',
      'history_complete',
      'done',
    ]);
    expect(frames[1]?.data).toEqual({ reason: 'unknown_last_event_id', buffer_oldest: ids[0] });
    // A reader that had everything hears `done` again instead of waiting for ever.
    expect((await readAll(id, ids.at(-1))).map(({ event }) => event)).toEqual(['connected', 'done']);
    const parameter = await fetch(`${server.url}/api/v1/executions/${id}/stream?last_event_id=${ids[1] ?? ''}`, {
      headers: { authorization: testToken },
    });
    expect(await parameter.text()).not.toContain('message_chunk');
  });
});

describe('readers', () => {
  test('one that vanishes is forgotten', async () => {
    const id = await newExecution();
    const readers = await Promise.all(Array.from({ length: 10 }, () => openStream(id)));
    await Promise.all(readers.map(({ frames }) => frames.next()));
    await waitFor(
      () => Promise.resolve(server.activity().openStreams),
      (count) => count === 10,
    );
    for (const { close } of readers) close();
    await waitFor(
      () => Promise.resolve(server.activity().openStreams),
      (count) => count === 0,
    );
  });

  test('one that does not read holds nobody up', async () => {
    const id = await newExecution();
    const stuck = connect(server.port, '127.0.0.1');
    stuck.pause();
    stuck.write(`GET /api/v1/executions/${id}/stream HTTP/1.1\r\nHost: x\r\nAuthorization: ${testToken}\r\n\r\n`);
    await waitFor(
      () => Promise.resolve(server.activity().openStreams),
      (count) => count === 1,
    );
    const reading = readAll(id);
    const large = (index: number) => ({ ...chunk(index), data: { content: 'x'.repeat(100_000) } });
    for (let index = 0; index < 200; index += 20) {
      await publish(
        id,
        Array.from({ length: 20 }, (_, offset) => large(index + offset)),
      );
    }
    await finish(id);
    expect(contentOf(await reading)).toHaveLength(200 * 100_000);
    expect(server.activity().openStreams).toBe(1);
    stuck.destroy();
    await waitFor(
      () => Promise.resolve(server.activity().openStreams),
      (count) => count === 0,
    );
  }, 60_000);

  test('when the server stops, streams are told to reconnect and end', async () => {
    const own = await startTestServer(devServer.address);
    const { body } = await callerOf(own.url)('POST', '/api/v1/agents/default/execute', { prompt: 'x' });
    const { frames } = await openStream(String(body['execution_id']), undefined, own.url);
    const read: string[] = [];
    const reading = (async () => {
      for await (const frame of frames) read.push(frame.event);
    })();
    await waitFor(
      () => Promise.resolve(read.length),
      (count) => count === 2,
    );
    await own.stop();
    await reading;
    expect(read).toEqual(['connected', 'history_complete', 'reconnect']);
  }, 20_000);

  test('a silent stream is kept alive', async () => {
    const id = await newExecution();
    const response = await fetch(`${server.url}/api/v1/executions/${id}/stream`, {
      headers: { authorization: testToken },
    });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let text = '';
    const before = Date.now();
    while (!text.includes(': keepalive')) text += new TextDecoder().decode((await reader.read()).value);
    expect(Date.now() - before).toBeGreaterThan(14_000);
    await reader.cancel();
  }, 30_000);
});

describe('session', () => {
  test('saved by the worker, else put together from the messages', async () => {
    const id = await newExecution();
    const path = `/api/v1/executions/${id}/session`;
    await publish(id, [
      { event_id: 'm', event_type: 'message', data: { role: 'user', content: 'hi', message_id: 'm' }, timestamp: 't' },
    ]);
    expect((await call('GET', path)).body).toMatchObject({
      session_id: id,
      message_count: 1,
      messages: [{ role: 'user', content: 'hi' }],
    });
    const saved = {
      session_id: 's',
      messages: [
        { role: 'user', content: 'hi' },
        { role: 'assistant', content: 'ho', tool_name: null },
      ],
      metadata: { a: 1 },
    };
    const answer = await call('POST', path, saved);
    expect(answer).toEqual({
      status: 201,
      body: { success: true, execution_id: id, session_id: 's', persisted_messages: 2 },
    });
    expect((await call('GET', path)).body).toEqual({ ...saved, execution_id: id, message_count: 2 });
    expect((await call('GET', '/api/v1/executions/absent/session')).status).toBe(404);
  });
});
