// The model client over HTTP: one attempt per call, a stream of deltas, every failure a value. Retries belong to the workflow.
import type { ModelClient, ModelDelta, ModelFailure, ModelOutcome, ModelRequest } from '../protocol/model.ts';
import type { DecodedAnswer, Dialect, ModelEndpoint, StreamDecoder } from './endpoint.ts';
import { failure, failureFromException, failureFromStatus, failureFromStreamError, nameOf } from './failures.ts';
import { createSseParser, type SseEvent } from './sse.ts';
import { assertValidTranscript, isJsonObject, parseJson } from './transcript.ts';

export interface HttpClientTimeouts {
  /** Silence in the middle of an answer. Models that think send events or keep-alives well within it. */
  readonly idleTimeoutMs: number;
}
/** The slowest honest gap seen is a reasoning model between two summary parts, about 60 s; twice that. */
export const streamIdleTimeoutMs = 120_000;

/** A transcript is compacted at 400 kB; an answer of this size is a server that does not stop. */
const answerBytesMax = 16_000_000;
/** Enough of an error body for any message; the rest is not read. */
const errorBodyBytesMax = 64_000;
/** After the end mark the body's own end is in the same packet or the next; waiting for it lets the connection be used again. */
const drainTimeoutMs = 50;

/** Why we ended a request ourselves. */
type Stop = { readonly stop: 'cancelled' | 'first_byte' | 'idle' };

export function createHttpModelClient(
  dialect: Dialect,
  endpoint: ModelEndpoint,
  timeouts: HttpClientTimeouts = { idleTimeoutMs: streamIdleTimeoutMs },
): ModelClient {
  // Learnt from a server that refused it once; the next calls spare themselves the detour.
  let hasUsageOption = true;

  async function complete(
    request: ModelRequest,
    onDelta: (delta: ModelDelta) => void,
    signal: AbortSignal,
  ): Promise<ModelOutcome> {
    assertValidTranscript(request.messages);
    const startedAt = performance.now();
    const since = (): number => Math.round(performance.now() - startedAt);
    let firstDeltaMs: number | undefined;
    const decoder = dialect.createDecoder({
      messages: request.messages,
      onDelta(delta) {
        firstDeltaMs ??= since();
        onDelta(delta);
      },
    });
    await using exchange = openExchange(signal);
    const response = await post(request, exchange);
    if ('kind' in response) return { ok: false, failure: response };
    const answer = await readAnswer(response, decoder, exchange);
    if ('kind' in answer) return { ok: false, failure: answer };
    return {
      ok: true,
      result: {
        message: {
          role: 'assistant',
          content: answer.content,
          toolCalls: answer.toolCalls,
          ...(answer.thinking.length === 0 ? {} : { thinking: answer.thinking }),
        },
        finishReason: answer.finishReason,
        usage: answer.usage,
        model: answer.model ?? endpoint.wireModel,
        durationMs: since(),
        firstDeltaMs,
      },
    };
  }

  /** Sends the request; an answer that is not a success becomes a failure. */
  async function post(request: ModelRequest, exchange: Exchange): Promise<Response | ModelFailure> {
    exchange.expect('first_byte', endpoint.firstByteTimeoutMs);
    const call = fetch(`${endpoint.baseUrl}${dialect.path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream', ...dialect.headers(endpoint.key) },
      body: JSON.stringify(dialect.encode(request, endpoint, { hasUsageOption })),
      // A redirect would carry the key to another host.
      redirect: 'manual',
      signal: exchange.signal,
    });
    let response: Response;
    try {
      response = await Promise.race([call, exchange.aborted]);
    } catch (error) {
      return exchange.stopped === undefined ? failureFromException(endpoint, error) : failureFromStop(exchange.stopped);
    }
    if (response.ok) return response;
    const body = await readText(response, errorBodyBytesMax, exchange);
    if (exchange.stopped?.stop === 'cancelled') return failureFromStop(exchange.stopped);
    const isUsageOptionRefused =
      /^4(?:00|22)$/.test(String(response.status)) && /stream_options|include_usage/.test(body);
    if (!isUsageOptionRefused || !hasUsageOption) {
      return failureFromStatus(endpoint, { status: response.status, headers: response.headers, body });
    }
    hasUsageOption = false;
    return await post(request, exchange);
  }

  async function readAnswer(
    response: Response,
    decoder: StreamDecoder,
    exchange: Exchange,
  ): Promise<DecodedAnswer | ModelFailure> {
    const isDocument = response.headers.get('content-type')?.includes('json') ?? false;
    const fault = isDocument
      ? await readDocument(response, decoder, exchange)
      : await readStream(response, decoder, exchange);
    if (fault !== undefined) return fault;
    const answer = decoder.finish();
    if (answer !== undefined) return answer;
    if (exchange.stopped !== undefined) return failureFromStop(exchange.stopped);
    return failure(endpoint, 'cut_stream', `The answer of ${nameOf(endpoint)} broke off before its end`);
  }

  async function readStream(
    response: Response,
    decoder: StreamDecoder,
    exchange: Exchange,
  ): Promise<ModelFailure | undefined> {
    const parser = createSseParser();
    let bytes = 0;
    let events = 0;
    for await (const chunk of chunksOf(response, exchange)) {
      exchange.expect('idle', timeouts.idleTimeoutMs);
      bytes += chunk.length;
      const parsed = parser.push(chunk);
      if (parsed === 'too_long' || bytes > answerBytesMax) return garbage('more than an answer can be');
      events += parsed.length;
      const step = pushAll(decoder, parsed);
      if (step === 'end') return undefined;
      if (step !== 'more') return step;
    }
    if (exchange.stopped !== undefined || exchange.isBroken) return undefined;
    return events === 0 && bytes > 0 ? garbage('something that is not an event stream') : undefined;
  }

  async function readDocument(
    response: Response,
    decoder: StreamDecoder,
    exchange: Exchange,
  ): Promise<ModelFailure | undefined> {
    exchange.expect('idle', timeouts.idleTimeoutMs);
    const text = await readText(response, answerBytesMax, exchange);
    if (exchange.stopped !== undefined || exchange.isBroken) return undefined;
    const document = parseJson(text);
    if (!isJsonObject(document)) return garbage('something that is not JSON');
    const events = dialect.splitDocument(document);
    if (events.length === 0) return garbage('a document that is no answer');
    const step = pushAll(decoder, events);
    return typeof step === 'string' ? undefined : step;
  }

  function pushAll(decoder: StreamDecoder, events: readonly SseEvent[]): 'more' | 'end' | ModelFailure {
    for (const event of events) {
      const step = decoder.push(event);
      if (step.type === 'end') return 'end';
      if (step.type === 'error') return failureFromStreamError(endpoint, step.body);
      if (step.type === 'garbage') return garbage(step.detail);
    }
    return 'more';
  }

  function garbage(what: string): ModelFailure {
    return failure(endpoint, 'bad_response', `${nameOf(endpoint)} sent ${what}`);
  }

  function failureFromStop(stopped: Stop): ModelFailure {
    const seconds = (ms: number): string => `${Math.round(ms / 100) / 10} s`;
    switch (stopped.stop) {
      case 'cancelled':
        return failure(endpoint, 'cancelled', `The call of ${nameOf(endpoint)} was cancelled`);
      case 'first_byte':
        return failure(
          endpoint,
          'timeout',
          `${nameOf(endpoint)} did not answer within ${seconds(endpoint.firstByteTimeoutMs)}`,
        );
      case 'idle':
        return failure(endpoint, 'timeout', `${nameOf(endpoint)} sent nothing for ${seconds(timeouts.idleTimeoutMs)}`);
    }
  }

  return { complete };
}

/** The part of a stream's reader that Bun and Node agree about. */
interface ByteReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

/** One HTTP exchange: its signal, the limit of the wait that it is in, and why it was stopped. */
interface Exchange extends AsyncDisposable {
  readonly signal: AbortSignal;
  readonly stopped: Stop | undefined;
  /** Rejects when the exchange is stopped, at once, whatever the runtime's fetch does about its signal. */
  readonly aborted: Promise<never>;
  /** True once the connection broke off in the middle of the body. */
  isBroken: boolean;
  /** Starts a new wait, which ends the one before. */
  expect(stop: 'first_byte' | 'idle', limitMs: number): void;
  /** The reader to release at the end. */
  reader: ByteReader | undefined;
}

function openExchange(outer: AbortSignal): Exchange {
  const controller = new AbortController();
  let stopped: Stop | undefined;
  let timer: NodeJS.Timeout | undefined;
  const stop = (reason: Stop['stop']): void => {
    stopped ??= { stop: reason };
    controller.abort(new Error(reason));
  };
  const cancel = (): void => stop('cancelled');
  const aborted = new Promise<never>((_resolve, reject) => {
    controller.signal.addEventListener('abort', () => reject(new Error('The exchange was stopped')), { once: true });
  });
  // Nobody may be waiting when it is stopped.
  aborted.catch(() => undefined);
  if (outer.aborted) cancel();
  else outer.addEventListener('abort', cancel, { once: true });
  return {
    signal: controller.signal,
    aborted,
    isBroken: false,
    reader: undefined,
    get stopped() {
      return stopped;
    },
    expect(reason, limitMs) {
      clearTimeout(timer);
      timer = setTimeout(stop, limitMs, reason);
    },
    async [Symbol.asyncDispose]() {
      clearTimeout(timer);
      outer.removeEventListener('abort', cancel);
      await release(this.reader);
      controller.abort();
    },
  };
}

/** Reads what is left for a moment, so that the connection can be kept, then closes it. */
async function release(reader: ByteReader | undefined): Promise<void> {
  if (reader === undefined) return;
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, drainTimeoutMs);
  });
  try {
    await Promise.race([reader.read(), limit]);
    await reader.cancel();
  } catch {
    // The connection is broken already, and the answer is read: there is nothing left to release.
  } finally {
    clearTimeout(timer);
  }
}

/** The bytes of a body until it ends, breaks off or the exchange is stopped; the exchange says which. */
async function* chunksOf(response: Response, exchange: Exchange): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  const reader: ByteReader = response.body.getReader();
  exchange.reader = reader;
  for (;;) {
    let chunk: Awaited<ReturnType<ByteReader['read']>>;
    try {
      chunk = await Promise.race([reader.read(), exchange.aborted]);
    } catch {
      exchange.isBroken = exchange.stopped === undefined;
      return;
    }
    if (chunk.done || chunk.value === undefined) {
      exchange.reader = undefined;
      return;
    }
    yield chunk.value;
  }
}

/** The body as text; what is longer than the limit is cut. */
async function readText(response: Response, bytesMax: number, exchange: Exchange): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for await (const chunk of chunksOf(response, exchange)) {
    bytes += chunk.length;
    text += decoder.decode(chunk, { stream: true });
    if (bytes > bytesMax) break;
  }
  return text + decoder.decode();
}
