// Follows one execution to its end over the SSE stream: reconnects, drops what was seen before, and asks for the true outcome.
import * as v from 'valibot';
import { KubiyaError } from '../errors.ts';
import { backoffDelayMs, sleep } from '../lib/backoff.ts';
import type { Execution } from '../protocol/control-plane.ts';
import { terminalStatuses } from '../protocol/workflow.ts';
import type { ControlPlaneClient } from './client.ts';
import { networkError } from './failures.ts';
import type { FollowedEvent } from './followed-event.ts';
import { createSeenSet } from './seen.ts';
import { createSseParser, type ServerSentEvent } from '../lib/sse.ts';
import { toUtcTimestamp } from './time.ts';

/** Keep-alives come every 15 s: three missed ones mean that nobody is there. */
export const streamIdleMs = 45_000;
/** How long a server may be away before we give up: a restart with its dev server takes seconds, a redeployment a minute. */
export const streamOutageMsMax = 90_000;
/** After `done` the cloud may write the outcome a moment later. */
const outcomeWaitMsMax = 5_000;
const outcomePollMs = 250;
const reconnectBackoff = { firstMs: 200, mostMs: 5_000 };

export interface FollowOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told at the first failed attempt of an outage, and when the stream is back. */
  readonly onConnection?: ((state: 'lost' | 'restored', reason: string) => void) | undefined;
  readonly idleMs?: number | undefined;
  readonly outageMsMax?: number | undefined;
}

export type ExecutionSource = Pick<ControlPlaneClient, 'url' | 'openStream' | 'getExecution'>;

/**
 * Yields events until `done`, then returns the execution as the server has it. Throws a KubiyaError when the execution does
 * not exist, the key is refused, or the server stays away for `outageMsMax`; throws the signal's reason when it aborts.
 */
export async function* followExecution(
  source: ExecutionSource,
  executionId: string,
  options: FollowOptions = {},
): AsyncGenerator<FollowedEvent, Execution> {
  const seen = createSeenSet();
  let lastEventId: string | undefined;
  let attempt = 0;
  let connections = 0;
  let outageStartMs: number | undefined;
  let isLostTold = false;
  const onOpen = (): void => {
    connections += 1;
    if (isLostTold) options.onConnection?.('restored', 'the stream is back');
    isLostTold = false;
    outageStartMs = undefined;
  };
  for (;;) {
    let reason: string | undefined;
    try {
      for await (const frame of readFrames(source, executionId, lastEventId, options, onOpen)) {
        attempt = 0;
        lastEventId = frame.id ?? lastEventId;
        if (frame.event === 'reconnect') break;
        const event = toEvent(frame);
        if (event === undefined || seen.has(frame, event, connections > 1)) continue;
        yield event;
        if (event.type === 'done') return await readOutcome(source, executionId, event, options.signal);
      }
    } catch (error) {
      options.signal?.throwIfAborted();
      const failure = error instanceof KubiyaError ? error : networkError(source.url, error);
      if (!failure.isRetryable) throw failure;
      if (performance.now() - (outageStartMs ?? Infinity) > (options.outageMsMax ?? streamOutageMsMax)) throw failure;
      reason = failure.message;
    }
    attempt += 1;
    // Hosting cuts every stream after five minutes: one clean end is nothing to speak of.
    if (!isLostTold && (reason !== undefined || attempt > 1)) {
      isLostTold = true;
      options.onConnection?.('lost', reason ?? 'the stream ended early');
    }
    outageStartMs ??= performance.now();
    // A stream that ends again and again without `done` must not hide that the execution is over.
    const execution = attempt > 1 ? await readExecution(source, executionId, options.signal) : undefined;
    if (execution !== undefined && isTerminal(execution.status)) return execution;
    await sleep(backoffDelayMs(attempt, reconnectBackoff), options.signal);
  }
}

export function isTerminal(status: string): boolean {
  return terminalStatuses.has(status.toLowerCase());
}

/** One connection's frames. The watchdog ends it when not even a keep-alive has come for `idleMs`. */
async function* readFrames(
  source: ExecutionSource,
  executionId: string,
  lastEventId: string | undefined,
  options: FollowOptions,
  onOpen: () => void,
): AsyncGenerator<ServerSentEvent> {
  const idleMs = options.idleMs ?? streamIdleMs;
  const watchdog = new AbortController();
  const signal = options.signal === undefined ? watchdog.signal : AbortSignal.any([options.signal, watchdog.signal]);
  const response = await source.openStream(executionId, lastEventId, signal);
  if (response.body === null) return;
  onOpen();
  const bark = (): void => watchdog.abort(new Error(`nothing was heard for ${idleMs / 1000} s`));
  let timer = setTimeout(bark, idleMs);
  const parser = createSseParser();
  try {
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      clearTimeout(timer);
      timer = setTimeout(bark, idleMs);
      const events = parser.push(chunk);
      if (events === 'too_long') throw eventTooLong();
      yield* events;
    }
  } finally {
    clearTimeout(timer);
    // Ends the connection also when the consumer leaves in the middle of it.
    watchdog.abort();
  }
}

const recordSchema = v.record(v.string(), v.unknown());

/** Worker events are nested in `data`, the server's own are flat; what is neither is skipped. */
function toEvent(frame: ServerSentEvent): FollowedEvent | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(frame.data);
  } catch {
    // Not JSON: `[DONE]` marks and the like, which name nothing we follow.
    return undefined;
  }
  if (!v.is(recordSchema, parsed)) return undefined;
  const nested = parsed['data'];
  const timestamp = toUtcTimestamp(parsed['timestamp']);
  const isNested = typeof parsed['event_type'] === 'string' && v.is(recordSchema, nested);
  const extra = typeof parsed['event_id'] === 'string' ? { event_id: parsed['event_id'] } : {};
  return { type: frame.event, data: isNested ? { ...nested, ...extra } : parsed, timestamp };
}

/** `done` may carry a status that is not true, so the execution itself has the last word. */
async function readOutcome(
  source: ExecutionSource,
  executionId: string,
  done: FollowedEvent,
  signal: AbortSignal | undefined,
): Promise<Execution> {
  const startedMs = performance.now();
  for (;;) {
    const execution = await source.getExecution(executionId, { signal });
    if (isTerminal(execution.status)) return execution;
    if (performance.now() - startedMs > outcomeWaitMsMax) {
      const status = typeof done.data['status'] === 'string' ? done.data['status'] : execution.status;
      return { ...execution, status };
    }
    await sleep(outcomePollMs, signal);
  }
}

async function readExecution(
  source: ExecutionSource,
  executionId: string,
  signal: AbortSignal | undefined,
): Promise<Execution | undefined> {
  try {
    return await source.getExecution(executionId, { signal, attemptsMax: 1 });
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof KubiyaError && error.isRetryable) return undefined;
    throw error;
  }
}

/** Not retryable: a reconnect would bring the same event again. */
function eventTooLong(): KubiyaError {
  return new KubiyaError('the control plane sent an event that is too long to be one', {
    kind: 'api_refused',
    code: 'event_too_long',
    hint: 'read the execution with `kubiya execution get`',
  });
}
