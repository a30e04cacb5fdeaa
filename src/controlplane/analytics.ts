// Reports what executions use, turn by turn and call by call, beside everything else: in batches, never waited for, bounded.
import { KubiyaError, messageOf } from '../errors.ts';
import { backoffDelayMs, sleep } from '../lib/backoff.ts';
import type { AnalyticsBatch } from '../protocol/analytics.ts';
import type { WorkFact } from '../telemetry/meter.ts';
import type { Log } from '../telemetry/log.ts';

export interface AnalyticsOptions {
  /** One attempt; rejects with a KubiyaError, whose `isRetryable` decides what becomes of the batch. */
  readonly send: (batch: AnalyticsBatch, signal: AbortSignal) => Promise<unknown>;
  readonly log: Log;
}

export interface AnalyticsReporter {
  record(fact: WorkFact): void;
  /** Sends what is left for at most `limitMs`. */
  stop(limitMs: number): Promise<void>;
  readonly counters: Readonly<AnalyticsCounters>;
}

export interface AnalyticsCounters {
  delivered: number;
  /** The oldest of too many that wait, and those that the control plane refused. */
  dropped: number;
  waiting: number;
}

type Turn = NonNullable<NonNullable<AnalyticsBatch['turns']>[number]>;
type ToolCall = NonNullable<NonNullable<AnalyticsBatch['tool_calls']>[number]>;
type Waiting = { readonly executionId: string } & (
  | { readonly turn: Turn; readonly toolCall?: never }
  | { readonly toolCall: ToolCall; readonly turn?: never }
);

/** A busy worker makes a few dozen records a second; this bridges an outage of minutes in a few MB. */
const waitingMax = 5_000;
/** Nobody looks at sums more often, and a quick agent's records share a request. */
const gatherMs = 1_000;
/** A request of this many is a few hundred kB. */
const batchCountMax = 200;
const attemptTimeoutMs = 10_000;
const backoff = { firstMs: 1_000, mostMs: 30_000 };
/** A server that fails with 500 may do so only at this batch. */
const serverFaultAttemptsMax = 5;

/** One 404 may be an execution that was deleted; so many in a row are a control plane without the route. */
const absencesMax = 3;

export const createAnalyticsReporter = (options: AnalyticsOptions): AnalyticsReporter => new Reporter(options);

/** One batch at a time. A control plane without the route is not asked for ever. */
class Reporter implements AnalyticsReporter {
  readonly counters: AnalyticsCounters = { delivered: 0, dropped: 0, waiting: 0 };
  private readonly stopping = new AbortController();
  /** From here on every batch has one attempt. */
  private readonly leaving = new AbortController();
  private waiting: Waiting[] = [];
  private isWanted = true;
  private absences = 0;
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;

  constructor(private readonly options: AnalyticsOptions) {}

  record(fact: WorkFact): void {
    const record = this.isWanted ? recordOf(fact) : undefined;
    if (record === undefined) return;
    const { counters, waiting } = this;
    if (waiting.length >= waitingMax) {
      if (counters.dropped === 0) this.options.log.warn('Analytics wait for the control plane; the oldest are dropped');
      waiting.shift();
      counters.dropped += 1;
    }
    waiting.push(record);
    counters.waiting = waiting.length;
    if (this.running === undefined) this.schedule();
  }

  async stop(limitMs: number): Promise<void> {
    this.leaving.abort();
    this.start();
    const over = setTimeout(() => this.stopping.abort(), limitMs);
    await this.running;
    clearTimeout(over);
    clearTimeout(this.timer);
    this.stopping.abort();
  }

  private schedule(): void {
    this.timer ??= setTimeout(() => this.start(), gatherMs);
  }

  private start(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.running ??= this.deliverAll().finally(() => {
      this.running = undefined;
      if (this.isDue()) this.schedule();
    });
  }

  private isDue(): boolean {
    return this.waiting.length > 0 && this.isWanted && !this.stopping.signal.aborted;
  }

  private async deliverAll(): Promise<void> {
    while (this.isDue()) {
      const batch = nextBatch(this.waiting);
      const outcome = await this.deliver(batch);
      if (outcome === 'stopped') return;
      // What was dropped meanwhile is not there any more.
      const sent = new Set(batch);
      this.waiting = this.waiting.filter((one) => !sent.has(one));
      this.counters[outcome] += batch.length;
      this.counters.waiting = this.waiting.length;
    }
  }

  private async deliver(batch: readonly Waiting[]): Promise<'delivered' | 'dropped' | 'stopped'> {
    const { signal } = this.stopping;
    for (let attempt = 1; ; attempt++) {
      const wasLeaving = this.leaving.signal.aborted;
      try {
        await this.options.send(bodyOf(batch), AbortSignal.any([signal, AbortSignal.timeout(attemptTimeoutMs)]));
        this.absences = 0;
        return 'delivered';
      } catch (error) {
        if (signal.aborted) return 'stopped';
        this.absences = isNotFound(error) ? this.absences + 1 : 0;
        this.isWanted = this.absences < absencesMax;
        if (isRefusal(error, attempt)) {
          const facts = { count: batch.length, isAskedAgain: this.isWanted, reason: messageOf(error) };
          this.options.log.debug('The control plane refused analytics', facts);
          return 'dropped';
        }
        if (wasLeaving) return 'stopped';
        await sleep(backoffDelayMs(attempt, backoff), this.leaving.signal).catch(() => undefined);
      }
    }
  }
}

/** The oldest one, and those of its execution. */
function nextBatch(waiting: readonly Waiting[]): readonly Waiting[] {
  const [first] = waiting;
  return waiting.filter(({ executionId }) => executionId === first?.executionId).slice(0, batchCountMax);
}

function bodyOf(batch: readonly Waiting[]): AnalyticsBatch {
  return {
    execution_id: batch[0]?.executionId ?? '',
    turns: batch.flatMap(({ turn }) => (turn === undefined ? [] : [turn])),
    tool_calls: batch.flatMap(({ toolCall }) => (toolCall === undefined ? [] : [toolCall])),
    tasks: [],
  };
}

/** Undefined for what uses nothing: an end, and an attempt at a model that brought no answer. */
function recordOf(fact: WorkFact): Waiting | undefined {
  const times = {
    started_at: new Date(fact.startedAtMs).toISOString(),
    completed_at: new Date(fact.startedAtMs + fact.durationMs).toISOString(),
    duration_ms: fact.durationMs,
  };
  if (fact.type === 'tool_called') {
    const toolCall = {
      ...times,
      tool_name: fact.tool,
      tool_use_id: fact.callId,
      turn_id: fact.callId.replace(/\d+$/, 'model'),
      success: fact.outcome === 'success',
      error_type: fact.outcome === 'success' ? null : fact.outcome,
    };
    return { executionId: fact.executionId, toolCall };
  }
  if (fact.type !== 'model_called' || fact.outcome !== 'success') return undefined;
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = fact.usage;
  const turn = {
    ...times,
    turn_id: fact.callId,
    turn_number: Number(/:(\d+):\w+$/.exec(fact.callId)?.[1] ?? 0),
    model: fact.model,
    model_provider: fact.model.includes('/') ? fact.model.slice(0, fact.model.indexOf('/')) : null,
    input_tokens: inputTokens,
    output_tokens: outputTokens,
    cache_read_tokens: cacheReadTokens,
    cache_creation_tokens: cacheWriteTokens,
    total_tokens: inputTokens + outputTokens,
    total_cost: fact.chargedUsd ?? fact.costUsd ?? 0,
    finish_reason: fact.finishReason ?? null,
    tools_called_count: fact.toolCalls,
  };
  return { executionId: fact.executionId, turn };
}

/** A missing route, or, of a control plane that says no more than 404, an execution that it does not know. */
function isNotFound(error: unknown): boolean {
  return error instanceof KubiyaError && (error.code === 'not_found' || error.code === 'route_not_found');
}

function isRefusal(error: unknown, attempt: number): boolean {
  if (!(error instanceof KubiyaError) || error.isRetryable || error.kind === 'network') return false;
  const isFault = error.code === 'http_500' || error.code === 'internal';
  return !isFault || attempt >= serverFaultAttemptsMax;
}
