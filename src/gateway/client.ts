// The model client over HTTP: one attempt per call, a stream of deltas, every failure a value. Retries belong to the workflow.
import type { ModelClient, ModelDelta, ModelFailure, ModelOutcome, ModelRequest } from '../protocol/model.ts';
import type { DecodedAnswer, Dialect, ModelEndpoint, StreamDecoder } from './endpoint.ts';
import { chunksOf, openExchange, readText, type Exchange, type Stop } from './exchange.ts';
import { failure, failureFromException, failureFromStatus, failureFromStreamError, nameOf } from './failures.ts';
import { directIfLoopback } from '../lib/loopback.ts';
import type { Fetch } from '../lib/network.ts';
import { createSseParser, type ServerSentEvent } from '../lib/sse.ts';
import { assertValidTranscript } from './transcript.ts';
import { isJsonObject, parseJson } from './json.ts';

/** The slowest honest gap seen is a reasoning model between two summary parts, about 60 s; twice that. */
const streamIdleTimeoutMs = 120_000;
/** A transcript is compacted at 400 kB; an answer of this size is a server that does not stop. */
const answerBytesMax = 16_000_000;
/** Enough of an error body for any message; the rest is not read. */
const errorBodyBytesMax = 64_000;

interface HttpClientOptions {
  readonly dialect: Dialect;
  readonly endpoint: ModelEndpoint;
  /** Silence in the middle of an answer. Models that think send events or keep-alives well within the default. */
  readonly idleTimeoutMs?: number;
  readonly fetch?: Fetch | undefined;
}

/** What the calls of one client share. */
interface Target {
  readonly dialect: Dialect;
  readonly endpoint: ModelEndpoint;
  readonly idleTimeoutMs: number;
  readonly fetch: Fetch;
  /** Learnt from a server that refused it once; the next calls spare themselves the detour. */
  hasUsageOption: boolean;
}

export function createHttpModelClient(options: HttpClientOptions): ModelClient {
  const target: Target = {
    idleTimeoutMs: streamIdleTimeoutMs,
    ...options,
    fetch: options.fetch ?? fetch,
    hasUsageOption: true,
  };
  return { complete: (request, onDelta, signal) => complete(target, request, onDelta, signal) };
}

async function complete(
  target: Target,
  request: ModelRequest,
  onDelta: (delta: ModelDelta) => void,
  signal: AbortSignal,
): Promise<ModelOutcome> {
  assertValidTranscript(request.messages);
  const startedAt = performance.now();
  const sinceStart = (): number => Math.round(performance.now() - startedAt);
  let firstDeltaMs: number | undefined;
  const decoder = target.dialect.createDecoder({
    messages: request.messages,
    onDelta(delta) {
      firstDeltaMs ??= sinceStart();
      onDelta(delta);
    },
  });
  await using exchange = openExchange(signal);
  const response = await post(target, request, exchange);
  const { traffic } = exchange;
  if ('kind' in response) return { ok: false, failure: response, traffic };
  const answer = await readAnswer(target, response, decoder, exchange);
  if ('kind' in answer) return { ok: false, failure: answer, traffic };
  const { content, toolCalls, thinking, finishReason, usage, costUsd } = answer;
  return {
    ok: true,
    traffic,
    result: {
      message: { role: 'assistant', content, toolCalls, ...(thinking.length === 0 ? {} : { thinking }) },
      finishReason,
      usage,
      costUsd,
      model: answer.model ?? target.endpoint.wireModel,
      durationMs: sinceStart(),
      firstDeltaMs,
    },
  };
}

/** Sends the request; an answer that is not a success becomes a failure. */
async function post(target: Target, request: ModelRequest, exchange: Exchange): Promise<Response | ModelFailure> {
  const { dialect, endpoint } = target;
  exchange.expect('first_byte', endpoint.firstByteTimeoutMs);
  const body = JSON.stringify(dialect.encode(request, endpoint, { hasUsageOption: target.hasUsageOption }));
  exchange.traffic.bytesSent += Buffer.byteLength(body);
  const call = target.fetch(`${endpoint.baseUrl}${dialect.path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', ...dialect.headers(endpoint.key) },
    body,
    // A redirect would carry the key to another host.
    redirect: 'manual',
    signal: exchange.signal,
    ...directIfLoopback(endpoint.baseUrl),
  });
  let response: Response;
  try {
    response = await Promise.race([call, exchange.aborted]);
  } catch (error) {
    return exchange.stopped === undefined
      ? failureFromException(endpoint, error)
      : failureFromStop(target, exchange.stopped);
  }
  if (response.ok) return response;
  const { status, headers } = response;
  const refusal = await readText(response, errorBodyBytesMax, exchange);
  if (exchange.stopped === 'cancelled') return failureFromStop(target, exchange.stopped);
  const isUsageOptionRefused = (status === 400 || status === 422) && /stream_options|include_usage/.test(refusal);
  if (!isUsageOptionRefused || !target.hasUsageOption)
    return failureFromStatus(endpoint, { status, headers, body: refusal });
  target.hasUsageOption = false;
  return await post(target, request, exchange);
}

async function readAnswer(
  target: Target,
  response: Response,
  decoder: StreamDecoder,
  exchange: Exchange,
): Promise<DecodedAnswer | ModelFailure> {
  const isDocument = response.headers.get('content-type')?.includes('json') ?? false;
  const read = isDocument ? readDocument : readStream;
  const fault = await read(target, response, decoder, exchange);
  if (fault !== undefined) return fault;
  const answer = decoder.finish();
  if (answer !== undefined) return answer;
  if (exchange.stopped !== undefined) return failureFromStop(target, exchange.stopped);
  const sentence = `The answer of ${nameOf(target.endpoint)} broke off before its end`;
  return failure(target.endpoint, 'cut_stream', sentence);
}

async function readStream(
  target: Target,
  response: Response,
  decoder: StreamDecoder,
  exchange: Exchange,
): Promise<ModelFailure | undefined> {
  const parser = createSseParser();
  let bytes = 0;
  let events = 0;
  for await (const chunk of chunksOf(response, exchange)) {
    exchange.expect('idle', target.idleTimeoutMs);
    bytes += chunk.length;
    const parsed = parser.push(chunk);
    if (parsed === 'too_long' || bytes > answerBytesMax) return garbage(target, 'more than an answer can be');
    events += parsed.length;
    const step = pushAll(target, decoder, parsed);
    if (step !== 'more') return step === 'end' ? undefined : step;
  }
  const isComplete = exchange.stopped === undefined && !exchange.isBroken;
  return isComplete && events === 0 && bytes > 0 ? garbage(target, 'something that is not an event stream') : undefined;
}

async function readDocument(
  target: Target,
  response: Response,
  decoder: StreamDecoder,
  exchange: Exchange,
): Promise<ModelFailure | undefined> {
  exchange.expect('idle', target.idleTimeoutMs);
  const text = await readText(response, answerBytesMax, exchange);
  if (exchange.stopped !== undefined || exchange.isBroken) return undefined;
  const document = parseJson(text);
  if (!isJsonObject(document)) return garbage(target, 'something that is not JSON');
  const events = target.dialect.splitDocument(document);
  if (events.length === 0) return garbage(target, 'a document that is no answer');
  const step = pushAll(target, decoder, events);
  return typeof step === 'string' ? undefined : step;
}

function pushAll(
  target: Target,
  decoder: StreamDecoder,
  events: readonly ServerSentEvent[],
): 'more' | 'end' | ModelFailure {
  for (const event of events) {
    const step = decoder.push(event);
    if (step.type === 'end') return 'end';
    if (step.type === 'error') return failureFromStreamError(target.endpoint, step.body);
    if (step.type === 'garbage') return garbage(target, step.detail);
  }
  return 'more';
}

function garbage(target: Target, what: string): ModelFailure {
  return failure(target.endpoint, 'bad_response', `${nameOf(target.endpoint)} sent ${what}`);
}

function failureFromStop({ endpoint, idleTimeoutMs }: Target, stop: Stop): ModelFailure {
  const name = nameOf(endpoint);
  const seconds = (ms: number): string => `${Math.round(ms / 100) / 10} s`;
  switch (stop) {
    case 'cancelled':
      return failure(endpoint, 'cancelled', `The call of ${name} was cancelled`);
    case 'first_byte':
      return failure(endpoint, 'timeout', `${name} did not answer within ${seconds(endpoint.firstByteTimeoutMs)}`);
    case 'idle':
      return failure(endpoint, 'timeout', `${name} sent nothing for ${seconds(idleTimeoutMs)}`);
  }
}
