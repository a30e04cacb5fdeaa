// OTLP over HTTP in JSON (https://opentelemetry.io/docs/specs/otlp/#otlphttp): one request, and a bounded queue of what waits for its turn.
import { messageOf } from '../errors.ts';
import { backoffDelayMs } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import type { Fetch } from '../lib/network.ts';
import type { Log } from './log.ts';

export interface OtlpOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Of one request. */
  readonly timeoutMs: number;
  /** Who sends: `service.name` and what else is the same for everything. */
  readonly resource: Readonly<Record<string, string>>;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly log: Log;
}

/** What became of a request. `passing` may succeed later. */
export type OtlpAnswer =
  | { readonly type: 'taken'; readonly rejected: number; readonly reason: string }
  | { readonly type: 'passing'; readonly reason: string; readonly retryAfterMs?: number }
  | { readonly type: 'refused'; readonly reason: string };

export type AttributeValue = string | number | boolean | readonly string[] | undefined;

/** Undefined values are left out. */
export function attributesOf(values: Readonly<Record<string, AttributeValue>>): unknown[] {
  return Object.entries(values).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: anyValue(value) }],
  );
}

function anyValue(value: NonNullable<AttributeValue>): Record<string, unknown> {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value !== 'number') return { arrayValue: { values: value.map((one) => ({ stringValue: one })) } };
  // 64-bit integers are strings in protobuf's JSON.
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}

/** The statuses that the specification calls retryable. */
const retryableStatuses: ReadonlySet<number> = new Set([429, 502, 503, 504]);
/** A partial success is a sentence and a number; more is not read. */
const answerBytesMax = 64_000;

/** Never throws. */
export async function postOtlp(options: OtlpOptions, body: unknown, signal: AbortSignal): Promise<OtlpAnswer> {
  const { url, headers, timeoutMs } = options;
  try {
    const response = await options.fetch(url, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      // The headers may hold a key.
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    if (response.ok) return { type: 'taken', ...(await rejectedOf(response)) };
    await response.body?.cancel();
    const reason = `it answered ${response.status}`;
    if (!retryableStatuses.has(response.status)) return { type: 'refused', reason };
    const retryAfterMs = retryAfterOf(response.headers.get('retry-after'), options.clock.now());
    return { type: 'passing', reason, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  } catch (error) {
    return { type: 'passing', reason: messageOf(error) };
  }
}

async function rejectedOf(response: Response): Promise<{ rejected: number; reason: string }> {
  const nothing = { rejected: 0, reason: '' };
  if (Number(response.headers.get('content-length') ?? Number.NaN) <= answerBytesMax) {
    const answer: unknown = await response.json().catch(() => undefined);
    const partial = fieldOf(answer, 'partialSuccess');
    const rejected = Number(fieldOf(partial, 'rejectedSpans') ?? fieldOf(partial, 'rejectedDataPoints') ?? 0);
    const reason = fieldOf(partial, 'errorMessage');
    return rejected > 0 ? { rejected, reason: typeof reason === 'string' ? reason : 'partial success' } : nothing;
  }
  await response.body?.cancel();
  return nothing;
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function retryAfterOf(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  const waitMs = /^\s*\d+\s*$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isFinite(waitMs) ? Math.min(Math.max(0, waitMs), retryAfterMsMax) : undefined;
}

/** A collector that wants a longer pause is asked again anyway, once: what waits is bounded, and then dropped. */
const retryAfterMsMax = 60_000;

export interface ExportQueue<Item> {
  /** Never waits; what is too much is dropped and counted. */
  push(item: Item): void;
  readonly counters: { readonly exported: number; readonly dropped: number };
  /** Sends what is left for at most `limitMs`, and drops the rest. */
  stop(limitMs: number): Promise<void>;
}

/** The defaults of OpenTelemetry's batch processor. */
const itemsMax = 2_048;
const batchMax = 512;
const batchEveryMs = 5_000;
/** With this backoff a batch is tried for about a minute; a collector that is away for longer loses it. */
const attemptsMax = 7;
const backoff = { firstMs: 1_000, mostMs: 30_000 };

/** `wrap` makes the body of a request. Trouble is said once, and once that it is over. */
export function createExportQueue<Item>(
  options: OtlpOptions,
  wrap: (items: readonly Item[]) => unknown,
): ExportQueue<Item> {
  const { clock, log } = options;
  // A query may hold a key.
  const url = options.url.replace(/[?#].*$/s, '');
  const counters = { exported: 0, dropped: 0 };
  const items: Item[] = [];
  const hurried = new AbortController();
  const ended = new AbortController();
  let full = new AbortController();
  let isFailing = false;

  const note = (problem: string | undefined): void => {
    if (problem !== undefined && !isFailing)
      log.warn('OpenTelemetry’s collector does not take what is sent', { url, reason: problem });
    if (problem === undefined && isFailing) log.info('OpenTelemetry’s collector takes what is sent again', { url });
    isFailing = problem !== undefined;
  };
  const drop = (count: number): void => void (counters.dropped += count);
  const deliver = async (batch: readonly Item[]): Promise<void> => {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await postOtlp(options, wrap(batch), ended.signal);
      if (answer.type === 'taken') {
        counters.exported += batch.length - answer.rejected;
        drop(answer.rejected);
        return note(answer.rejected > 0 ? answer.reason : undefined);
      }
      if (ended.signal.aborted) return drop(batch.length);
      note(answer.reason);
      if (answer.type === 'refused' || attempt >= attemptsMax) return drop(batch.length);
      const delayMs = answer.retryAfterMs ?? backoffDelayMs(attempt, backoff);
      await clock.sleep(delayMs, ended.signal).catch(() => undefined);
      if (ended.signal.aborted) return drop(batch.length);
    }
  };
  const loop = (async () => {
    for (;;) {
      full = new AbortController();
      if (items.length < batchMax) {
        const early = AbortSignal.any([full.signal, hurried.signal]);
        await clock.sleep(batchEveryMs, early).catch(() => undefined);
      }
      const batch = items.splice(0, batchMax);
      if (batch.length > 0) await deliver(batch);
      else if (hurried.signal.aborted) return;
    }
  })();
  return {
    counters,
    push: (item) => {
      if (items.length >= itemsMax || hurried.signal.aborted) return drop(1);
      items.push(item);
      if (items.length >= batchMax) full.abort();
    },
    stop: async (limitMs) => {
      hurried.abort();
      const over = setTimeout(() => ended.abort(), limitMs);
      await loop;
      clearTimeout(over);
      if (counters.dropped > 0) log.warn('Not everything reached OpenTelemetry’s collector', { url, ...counters });
    },
  };
}
