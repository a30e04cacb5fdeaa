// What an agent says reaches whoever listens, whole and once, however the connection breaks.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHome, type Home } from '../support/binary.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { startScriptedOpenAi, type ScriptedReply, type ScriptedServer } from '../support/model-servers.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';
import { queueName } from './lab.ts';

const limitMs = 30_000;
const testLimitMs = 60_000;
const chunksMin = 10_000;
const reconnects = 20;
/** Ten pieces every 2 ms: a fast model, and long enough to reconnect while it speaks. */
const pace = { delayMs: 2, burst: 10 };

let home: Home;
let model: ScriptedServer;
let server: LocalServer;
let worker: WorkerProcess;
let queueId: string;
let answer: () => ScriptedReply = () => ({ type: 'text', text: '' });
beforeAll(async () => {
  home = createHome();
  model = await startScriptedOpenAi(() => answer());
  server = await startLocalServer({ home });
  const environment = { OPENAI_BASE_URL: model.url, OPENAI_API_KEY: 'sk-scripted', KUBIYA_MODEL: 'openai/scripted' };
  worker = await startWorkerProcess({ home, queue: queueName, environment });
  const queues = (await server.request('GET', '/api/v1/worker-queues')) as { id: string; name: string }[];
  queueId = queues.find(({ name }) => name === queueName)?.id ?? '';
}, 60_000);
afterAll(async () => {
  await worker.process.end('SIGTERM');
  await server.stop();
  await model.stop();
  await home.waitUntilEmpty(5_000);
  home.remove();
}, 30_000);

interface Frame {
  readonly id: string;
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Whole frames of one connection, which breaks off after so many bytes, wherever that is; `isOver` when the server ended it. */
async function listen(id: string, after: string, bytesMax: number): Promise<{ frames: Frame[]; isOver: boolean }> {
  const abort = new AbortController();
  const response = await fetch(`${server.url}/api/v1/executions/${id}/stream`, {
    headers: { authorization: `Bearer ${server.token}`, ...(after === '' ? {} : { 'last-event-id': after }) },
    signal: abort.signal,
  });
  expect(response.status).toBe(200);
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    const part = chunk.subarray(0, bytesMax - bytes);
    text += decoder.decode(part, { stream: true });
    bytes += part.length;
    if (bytes >= bytesMax) break;
  }
  abort.abort();
  const blocks = text.split('\n\n').slice(0, -1); // what stands behind the last blank line is half a frame
  return { frames: blocks.flatMap(frameOf), isOver: bytes < bytesMax };
}

function frameOf(block: string): Frame[] {
  const fields = new Map(
    block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
  );
  const [event, data] = [fields.get('event'), fields.get('data')];
  if (event === undefined || data === undefined) return [];
  return [{ id: fields.get('id') ?? '', event, data: JSON.parse(data) as Frame['data'] }];
}

test(
  'a text of 10,000 chunks arrives identical at a listener that reconnects 20 times',
  async () => {
    // Every word is another, so that nothing can be missing, twice or moved without being seen; some are more than a byte a letter.
    const words = Array.from(
      { length: chunksMin },
      (_, index) => `${index.toString(36)}${index % 7 === 0 ? 'é😀' : ''} `,
    );
    const text = words.join('').trimEnd();
    const { length } = Array.from(text);
    const chunks = Math.ceil(length / Math.floor(length / chunksMin));
    expect(chunks).toBeGreaterThanOrEqual(chunksMin);
    answer = () => ({ type: 'text', text, chunks, ...pace });
    const id = await server.execute('go', queueId);
    const frames: Frame[] = [];
    let connections = 0;
    for (let isOver = false; !isOver; connections += 1) {
      // The last connection is the one after the last break.
      const bytesMax = connections < reconnects ? 1_500 + connections * 397 : Number.POSITIVE_INFINITY;
      const next = await listen(id, frames.findLast((frame) => frame.id !== '')?.id ?? '', bytesMax);
      frames.push(...next.frames);
      isOver = next.isOver;
    }
    expect(connections).toBeGreaterThan(reconnects);
    const heard = frames.flatMap(({ event, data }) =>
      event === 'message_chunk' ? [(data['data'] as { content: string }).content] : [],
    );
    expect(heard.length).toBeGreaterThan(reconnects);
    expect(heard.join('')).toBe(text);
    const ids = frames.flatMap((frame) => (frame.id === '' ? [] : [frame.id]));
    expect(new Set(ids).size).toBe(ids.length);
    expect(frames.at(-1)).toMatchObject({ event: 'done', data: { status: 'completed' } });
    expect(await server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: text });
  },
  testLimitMs,
);
