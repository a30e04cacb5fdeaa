// A long answer arrives whole at somebody whose connection breaks again and again, and a control plane that hangs holds no turn up.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createSseParser } from '../../src/lib/sse.ts';
import { createHome, type Home } from '../support/binary.ts';
import { behind, startFront } from '../support/front.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { startScriptedOpenAi } from '../support/model-servers.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess } from '../support/worker-process.ts';

const limitMs = 60_000;
let home: Home;
let server: LocalServer;
beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home });
  for (const name of ['long', 'hanging'])
    await server.request('POST', '/api/v1/environments/default/worker-queues', { name });
}, limitMs);
afterAll(async () => {
  await server.stop();
  await home.waitUntilEmpty(5_000);
  home.remove();
}, limitMs);

const chunks = 10_000;
const reconnects = 20;
/** Every chunk is another one, with line ends, quotes, and characters of two, three and four bytes. */
const piece = (index: number): string => `${index}: "ä" → 😀\\ \n`;

test(
  '10,000 chunks arrive identical at a reader that reconnects 20 times',
  async () => {
    const text = Array.from({ length: chunks }, (_, index) => piece(index)).join('');
    const model = await startScriptedOpenAi([{ type: 'text', text, chunks }]);
    const environment = { OPENAI_BASE_URL: model.url, OPENAI_API_KEY: 'scripted' };
    const worker = await startWorkerProcess({ home, queue: 'long', words: ['--model', 'openai/any'], environment });
    try {
      const id = await server.execute('tell it all', 'long');
      const reader = new BreakingReader(id);
      // A few bytes more each time, so that it breaks in the middle of frames and of characters.
      for (let count = 0; count < reconnects; count += 1) await reader.read(4_000 + 997 * count);
      await reader.read(Number.POSITIVE_INFINITY);
      expect(reader.connections).toBe(reconnects + 1);
      expect(reader.text()).toBe(text);
      expect((await server.ended(id, limitMs)).response).toBe(text);
      expect(new Set(reader.eventIds).size).toBe(reader.eventIds.length);
    } finally {
      await worker.process.end('SIGTERM');
      await model.stop();
    }
  },
  limitMs,
);

/** Reads so many bytes of the stream, breaks the connection, and goes on behind the last whole event. */
class BreakingReader {
  connections = 0;
  readonly eventIds: string[] = [];
  readonly #id: string;
  readonly #contents: string[] = [];
  #lastEventId: string | undefined;

  constructor(id: string) {
    this.#id = id;
  }

  text(): string {
    return this.#contents.join('');
  }

  async read(bytesMax: number): Promise<void> {
    this.connections += 1;
    const response = await fetch(`${server.url}/api/v1/executions/${this.#id}/stream`, {
      headers: {
        authorization: `Bearer ${server.token}`,
        ...(this.#lastEventId === undefined ? {} : { 'last-event-id': this.#lastEventId }),
      },
    });
    const parser = createSseParser();
    let read = 0;
    for await (const bytes of response.body as AsyncIterable<Uint8Array>) {
      const rest = bytes.subarray(0, bytesMax - read);
      read += rest.length;
      const events = parser.push(rest);
      if (events === 'too_long') throw new Error('an event is too long');
      for (const { id, event, data } of events) {
        if (id !== undefined) this.#lastEventId = id;
        if (event === 'done') return;
        if (event !== 'message_chunk') continue;
        this.eventIds.push(id ?? '');
        this.#contents.push((JSON.parse(data) as { data: { content: string } }).data.content);
      }
      // Leaving the loop closes the connection.
      if (read >= bytesMax) return;
    }
  }
}

test(
  'a control plane that hangs holds no turn up, and learns of all of them afterwards',
  async () => {
    const turns = 30;
    const front = startFront(server);
    const asked: number[] = [];
    const model = await startScriptedOpenAi((_request, index) => {
      asked.push(performance.now());
      return index < turns
        ? { type: 'calls', calls: [{ name: 'run_shell_command', arguments: { args: ['echo', String(index)] } }] }
        : { type: 'text', text: 'all turns are done' };
    });
    const environment = { OPENAI_BASE_URL: model.url, OPENAI_API_KEY: 'scripted', ...behind(front, server) };
    const worker = await startWorkerProcess({ home, queue: 'hanging', words: ['--model', 'openai/any'], environment });
    try {
      const id = await server.execute('go', 'hanging');
      await until(() => asked.length >= 3, { limitMs });
      front.say(() => ({ type: 'hang' }));
      await until(() => asked.length > turns, { limitMs });
      // Nothing but the first turns has arrived there.
      expect((await server.events(id)).filter(({ event_type: type }) => type === 'tool_completed').length).toBeLessThan(
        turns / 2,
      );
      front.say(undefined);
      expect(await server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'all turns are done' });
      await until(
        async () =>
          (await server.events(id)).filter(({ event_type: type }) => type === 'tool_completed').length === turns,
        { limitMs },
      );
    } finally {
      await worker.process.end('SIGTERM');
      await front.stop();
      await model.stop();
    }
  },
  limitMs,
);
