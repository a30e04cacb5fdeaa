// The publisher keeps order, survives a silent control plane and a killed worker, and never slows the one who publishes.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPublisher, type EventSink, type Publisher } from '../../../src/controlplane/publisher.ts';
import { KubiyaError } from '../../../src/errors.ts';
import type { AgentEvent } from '../../../src/protocol/events.ts';
import type { Log } from '../../../src/telemetry/log.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kubiya-publisher-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const quiet: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => quiet,
};
const timestamp = '2026-01-01T00:00:00.000Z';
const chunk = (index: number, content: string): AgentEvent => ({
  event_id: `c${index}`,
  event_type: 'message_chunk',
  data: { role: 'assistant', content, is_chunk: true, message_id: 'm' },
  timestamp,
});
const message = (id: string): AgentEvent => ({
  event_id: id,
  event_type: 'message',
  data: { role: 'assistant', content: id, message_id: id },
  timestamp,
});
const unreachable = () =>
  new KubiyaError('could not reach it', { kind: 'network', code: 'unreachable', isRetryable: true });

/** Records what arrives; `fail` decides per call. */
function recorder(fail: () => Error | undefined = () => undefined): EventSink & { arrived: string[] } {
  const arrived: string[] = [];
  const arrive = (words: string[]): Promise<void> => {
    const error = fail();
    if (error !== undefined) return Promise.reject(error);
    arrived.push(...words);
    return Promise.resolve();
  };
  return {
    arrived,
    publishEvents: (_id, events) =>
      arrive(
        events.map((event) =>
          event.event_type === 'message_chunk' ? `+${String(event.data['content'])}` : event.event_id,
        ),
      ),
    updateExecution: (_id, update) => arrive([`status ${update.status ?? ''}`]),
    saveSession: () => arrive(['session']),
  };
}
const publisherFor = (sink: EventSink): Publisher => createPublisher({ directory, sink, log: quiet });

test('order holds across events and reports, and adjacent chunks become one', async () => {
  const sink = recorder();
  const publisher = publisherFor(sink);
  publisher.publish('e', message('a'));
  publisher.publish('e', chunk(1, 'x'));
  publisher.publish('e', chunk(2, 'y'));
  publisher.update('e', { status: 'running' });
  publisher.publish('e', message('b'));
  publisher.saveSession('e', { session_id: 'e', messages: [] });
  publisher.update('e', { status: 'completed' });
  expect(await publisher.flush('e', 1_000)).toBe(true);
  expect(sink.arrived).toEqual(['a', '+xy', 'status running', 'b', 'session', 'status completed']);
  expect(readdirSync(directory)).toEqual([]);
});

test('what members of a team say is joined as well, each for itself', async () => {
  const sink = recorder();
  const publisher = publisherFor(sink);
  const said = (index: number, member: string): AgentEvent => ({
    event_id: `${member}${index}`,
    event_type: 'member_message_chunk',
    data: {
      role: 'assistant',
      content: `${index}`,
      is_chunk: true,
      message_id: member,
      member_name: member,
      parent_message_id: 'p',
    },
    timestamp,
  });
  for (const event of [said(1, 'ada'), said(2, 'ada'), said(3, 'bob'), said(4, 'ada')]) publisher.publish('e', event);
  expect(await publisher.flush('e', 1_000)).toBe(true);
  expect(sink.arrived).toEqual(['ada1', 'bob3', 'ada4']);
});

test('a control plane that is away holds nobody up and gets everything, once, when it is back', async () => {
  let isAway = true;
  const sink = recorder(() => (isAway ? unreachable() : undefined));
  const publisher = publisherFor(sink);
  for (let index = 0; index < 50; index++) publisher.publish('e', message(`m${index}`));
  expect(await publisher.flush('e', 100)).toBe(false);
  isAway = false;
  expect(await publisher.flush('e', 5_000)).toBe(true);
  expect(sink.arrived).toEqual(Array.from({ length: 50 }, (_, index) => `m${index}`));
  expect(publisher.counters.failedAttempts).toBeGreaterThan(0);
});

test('what a killed worker had not delivered is delivered by the next one', async () => {
  const away = publisherFor(recorder(unreachable));
  away.publish('e', message('a'));
  away.update('e', { status: 'completed' });
  await Bun.sleep(20); // killed: nobody stops it
  const sink = recorder();
  const next = publisherFor(sink);
  expect(await next.flush('e', 5_000)).toBe(true);
  expect(sink.arrived).toEqual(['a', 'status completed']);
  await away.stop(0);
});

test('a report that is refused for good does not hold the next one back', async () => {
  let calls = 0;
  const sink = recorder(() =>
    calls++ === 0 ? new KubiyaError('no', { kind: 'api_refused', code: 'not_found' }) : undefined,
  );
  const publisher = publisherFor(sink);
  publisher.update('e', { status: 'running' });
  publisher.publish('e', message('a'));
  await publisher.flush('e', 1_000);
  expect(sink.arrived).toEqual(['a']);
  expect(publisher.counters.refused).toBe(1);
});

test('an event that is refused takes none of its batch with it', async () => {
  const arrived: string[] = [];
  const sink: EventSink = {
    ...recorder(),
    publishEvents: (_id, events) => {
      if (events.some(({ event_id: id }) => id === 'large'))
        return Promise.reject(new KubiyaError('too large', { kind: 'api_refused', code: 'event_too_large' }));
      arrived.push(...events.map(({ event_id: id }) => id));
      return Promise.resolve();
    },
  };
  const publisher = publisherFor(sink);
  const ids = ['a', 'b', 'large', 'c', 'd', 'e'];
  for (const id of ids) publisher.publish('e', message(id));
  expect(await publisher.flush('e', 1_000)).toBe(true);
  expect(arrived).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect(publisher.counters).toMatchObject({ delivered: 5, refused: 1, queued: 0 });
});

test('chunks are bounded while nothing can be delivered; messages never are', async () => {
  const publisher = publisherFor(recorder(unreachable));
  const big = 'x'.repeat(15_000);
  for (let index = 0; index < 5_000; index++) publisher.publish('e', chunk(index, big));
  publisher.publish('e', message('last'));
  expect(publisher.counters.droppedChunks).toBeGreaterThan(2_000);
  expect(publisher.counters.queued).toBeLessThan(2_100);
  await publisher.stop(0);
  const sink = recorder();
  const next = publisherFor(sink);
  await next.flush('e', 1_000);
  expect(sink.arrived).toEqual(['last']);
});

test('an outbox on a directory that vanished costs nothing but its copy', async () => {
  const sink = recorder();
  const publisher = publisherFor(sink);
  rmSync(directory, { recursive: true });
  publisher.publish('e', message('a'));
  expect(await publisher.flush('e', 1_000)).toBe(true);
  expect(sink.arrived).toEqual(['a']);
});

test('a line torn by one kill does not swallow the first one after it, when there is a second kill', async () => {
  const path = join(directory, 'e.outbox');
  writeFileSync(path, '{"kind":"session","session":{"session_id":"e","mess');
  const second = publisherFor(recorder(unreachable));
  second.update('e', { status: 'completed' });
  await Bun.sleep(20); // killed: nobody stops it
  const sink = recorder();
  expect(await publisherFor(sink).flush('e', 5_000)).toBe(true);
  expect(sink.arrived).toEqual(['status completed']);
  await second.stop(0);
});

test('an outbox that cannot be removed holds nobody up', async () => {
  let isAway = true;
  const sink = recorder(() => (isAway ? unreachable() : undefined));
  const publisher = publisherFor(sink);
  publisher.update('e', { status: 'completed' });
  rmSync(join(directory, 'e.outbox'));
  mkdirSync(join(directory, 'e.outbox', 'in the way'), { recursive: true });
  isAway = false;
  expect(await publisher.flush('e', 5_000)).toBe(true);
  expect(sink.arrived).toEqual(['status completed']);
});

test('a server that fails for a moment loses nothing; a report at which it always fails is left out', async () => {
  let failures = 2;
  const fault = () => new KubiyaError('oops', { kind: 'api_refused', code: 'http_500' });
  const sink = recorder(() => (failures-- > 0 ? fault() : undefined));
  const publisher = publisherFor(sink);
  publisher.update('e', { status: 'completed' });
  expect(await publisher.flush('e', 5_000)).toBe(true);
  expect(sink.arrived).toEqual(['status completed']);
  expect(publisher.counters.refused).toBe(0);
});

test('executions that end elsewhere do not keep files open for ever', async () => {
  const sink = recorder();
  const publisher = publisherFor(sink);
  for (let index = 0; index < 260; index++) {
    publisher.update(`e${index}`, { status: 'running' });
    await publisher.flush(`e${index}`, 1_000);
  }
  expect(readdirSync(directory).length).toBeLessThanOrEqual(200);
  publisher.publish('e0', message('late'));
  expect(await publisher.flush('e0', 1_000)).toBe(true);
  expect(sink.arrived.at(-1)).toBe('late');
  await publisher.stop(0);
});

test('what a quick tool says goes in one request, at the latest when something more urgent is said', async () => {
  const requests: string[][] = [];
  const sink: EventSink = {
    ...recorder(),
    publishEvents: (_id, events) => {
      requests.push(events.map(({ event_id: id }) => id));
      return Promise.resolve();
    },
  };
  const publisher = publisherFor(sink);
  const tool = (id: string): AgentEvent => ({
    event_id: id,
    event_type: 'tool_output',
    data: { tool_execution_id: id, content: id },
    timestamp,
  });
  const sent = async (count: number): Promise<void> => {
    for (let waitedMs = 0; requests.length < count && waitedMs < 1_000; waitedMs += 2) await Bun.sleep(2);
  };
  publisher.publish('e', tool('a'));
  await Bun.sleep(2);
  publisher.publish('e', tool('b'));
  await sent(1);
  publisher.publish('e', tool('c'));
  publisher.publish('e', message('d'));
  await sent(2);
  publisher.publish('e', tool('f'));
  expect(await publisher.flush('e', 1_000)).toBe(true);
  expect(requests).toEqual([['a', 'b'], ['c', 'd'], ['f']]);
  await publisher.stop(100);
});
