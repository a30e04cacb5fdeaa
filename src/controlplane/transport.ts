// One HTTP request to the control plane: authentication, time limit, the retry table, and every failure as a KubiyaError.
import * as v from 'valibot';
import { KubiyaError, messageOf } from '../errors.ts';
import { backoffDelayMs, sleep } from '../lib/backoff.ts';
import { networkError, refusal } from './failures.ts';
import { directIfLoopback } from '../lib/loopback.ts';
import type { Fetch } from '../lib/network.ts';

/** A control plane answers in milliseconds; the cloud's slowest routes take seconds, and hosting cuts at 30–60. */
export const requestTimeoutMs = 30_000;
/** Four attempts with full jitter up to 4 s bridge the restart of a server, and a user does not wait longer for one answer. */
export const requestAttemptsMax = 4;
const retryBackoff = { firstMs: 500, mostMs: 4_000 };
/** A Retry-After beyond this is not waited for by a command: the error says it instead. */
const retryAfterMsMax = 20_000;

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** The part of telemetry's log that is used here. */
export interface TransportLog {
  debug(message: string, fields?: Record<string, unknown>): void;
}

export interface TransportOptions {
  /** Base URL without a trailing slash. */
  readonly url: string;
  /** The bearer token, or a function that reads it; a function is asked again after a 401 (rotation without restart). */
  readonly token: string | (() => string);
  readonly fetch?: Fetch | undefined;
  readonly log?: TransportLog | undefined;
  /** Bytes of the bodies of one exchange, unpacked. Must not throw. */
  readonly onTraffic?: ((bytes: { readonly sent: number; readonly received: number }) => void) | undefined;
  /** Ends every request of this client. */
  readonly signal?: AbortSignal | undefined;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** 1 switches retries off, for callers that own their retries (heartbeat, event publisher, registration). */
  readonly attemptsMax?: number | undefined;
}

export interface ApiRequest<T> {
  readonly method: Method;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | undefined>> | undefined;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** What a successful answer must look like; absent when the body is not read. */
  readonly response?: v.GenericSchema<unknown, T> | undefined;
  /** A POST that does no harm when it arrives twice. */
  readonly isRepeatable?: boolean | undefined;
  /** The body of a good answer is read by the caller, without the time limit. */
  readonly isStream?: boolean | undefined;
  readonly call?: CallOptions | undefined;
}

export interface Transport {
  readonly url: string;
  request<T>(request: ApiRequest<T>): Promise<T>;
  /** The raw answer, for streams; only its headers are under the time limit. With a body it is a POST. */
  open(
    path: string,
    headers: Readonly<Record<string, string>>,
    signal?: AbortSignal,
    body?: unknown,
  ): Promise<Response>;
}

export function createTransport(options: TransportOptions): Transport {
  const url = options.url.replace(/\/+$/, '');
  return {
    url,
    request: (request) => requestWithRetries({ ...options, url }, request),
    open: async (path, headers, signal, body) => {
      const method = body === undefined ? 'GET' : 'POST';
      const response = await send(
        { ...options, url },
        { method, path, headers, body, isStream: true, call: { signal } },
      );
      if (!response.ok) throw await refusal(url, response);
      return response;
    },
  };
}

async function requestWithRetries<T>(options: TransportOptions, request: ApiRequest<T>): Promise<T> {
  const isRepeatable =
    request.method === 'GET' ||
    request.method === 'PUT' ||
    request.method === 'DELETE' ||
    request.isRepeatable === true;
  const attemptsMax = request.call?.attemptsMax ?? requestAttemptsMax;
  for (let attempt = 1; ; attempt += 1) {
    let failure: KubiyaError;
    let retryAfterMs: number | undefined;
    try {
      const response = await send(options, request);
      if (response.ok) return await parse(options.url, request, response);
      failure = await refusal(options.url, response);
      retryAfterMs = retryAfter(response);
    } catch (error) {
      if (!(error instanceof KubiyaError)) throw error;
      failure = error;
    }
    const mayRepeat = isRepeatable || failure.code === 'rate_limited';
    if (!failure.isRetryable || !mayRepeat || attempt >= attemptsMax || (retryAfterMs ?? 0) > retryAfterMsMax)
      throw failure;
    options.log?.debug('Control plane request is tried again', {
      path: request.path,
      attempt,
      reason: failure.message,
    });
    await sleep(retryAfterMs ?? backoffDelayMs(attempt, retryBackoff), request.call?.signal ?? options.signal);
  }
}

/** Sends once, and once more with a token that was read again when the first was refused. */
async function send<T>(options: TransportOptions, request: ApiRequest<T>): Promise<Response> {
  const token = typeof options.token === 'string' ? options.token : options.token();
  const response = await sendWith(options, request, token);
  if (response.status !== 401 || typeof options.token === 'string') return response;
  const fresh = options.token();
  if (fresh === token) return response;
  return await sendWith(options, request, fresh);
}

async function sendWith<T>(options: TransportOptions, request: ApiRequest<T>, token: string): Promise<Response> {
  const timeoutMs = request.call?.timeoutMs ?? requestTimeoutMs;
  const timer = new AbortController();
  const timeout = setTimeout(() => timer.abort(), timeoutMs);
  const callers = [options.signal, request.call?.signal].filter((signal) => signal !== undefined);
  const headers = new Headers({ accept: 'application/json', authorization: `Bearer ${token}`, ...request.headers });
  if (request.body !== undefined) headers.set('content-type', 'application/json');
  const init: RequestInit = {
    method: request.method,
    headers,
    redirect: 'error',
    signal: AbortSignal.any([timer.signal, ...callers]),
    ...directIfLoopback(options.url),
  };
  const sent = request.body === undefined ? undefined : JSON.stringify(request.body);
  if (sent !== undefined) init.body = sent;
  try {
    const response = await (options.fetch ?? fetch)(options.url + request.path + queryOf(request.query), init);
    if (request.isStream === true && response.ok) return response;
    // Under the same limit: a server that hangs in the middle of its answer hangs.
    const body = await response.text();
    options.onTraffic?.({ sent: Buffer.byteLength(sent ?? ''), received: Buffer.byteLength(body) });
    const { status, statusText } = response;
    return new Response(body === '' ? null : body, { status, statusText, headers: response.headers });
  } catch (error) {
    for (const signal of callers) signal.throwIfAborted();
    if (error instanceof KubiyaError) throw error;
    throw networkError(options.url, error, timer.signal.aborted ? timeoutMs : undefined);
  } finally {
    clearTimeout(timeout);
  }
}

async function parse<T>(url: string, request: ApiRequest<T>, response: Response): Promise<T> {
  if (request.response === undefined) return undefined as T;
  let value: unknown;
  try {
    value = await response.json();
  } catch (error) {
    throw badAnswer(url, request.path, messageOf(error), error);
  }
  const result = v.safeParse(request.response, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  // Only where and what was expected: the value itself may be a secret.
  throw badAnswer(
    url,
    request.path,
    `${v.getDotPath(issue) ?? 'the answer'} should be ${issue.expected ?? 'something else'}`,
  );
}

function badAnswer(url: string, path: string, detail: string, cause?: unknown): KubiyaError {
  return new KubiyaError(`the answer of ${url}${path} is not what a control plane sends: ${detail}`, {
    kind: 'api_refused',
    code: 'bad_answer',
    hint: 'check that the URL is that of a Kubiya control plane (`kubiya config show`)',
    cause,
  });
}

function queryOf(query: ApiRequest<unknown>['query']): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) search.set(name, String(value));
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}

function retryAfter(response: Response): number | undefined {
  const header = response.headers.get('retry-after');
  if (header === null) return undefined;
  const seconds = Number(header);
  const milliseconds = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(milliseconds) ? Math.max(0, milliseconds) : undefined;
}
