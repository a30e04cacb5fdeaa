// Delivers what happens in an execution to the control plane: in order, never blocking the agent, surviving the worker by a file.
import { closeSync, constants, ftruncateSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { KubiyaError, messageOf } from '../errors.ts';
import { backoffDelayMs, sleep } from '../lib/backoff.ts';
import { eventBatchCountMax, type SaveSession, type UpdateExecution } from '../protocol/control-plane.ts';
import { agentEventSchema, type AgentEvent, type WireEvent } from '../protocol/events.ts';
import type { Log } from '../telemetry/log.ts';

/** The other side. Each call makes one attempt and throws a KubiyaError; `isRetryable` decides what becomes of the delivery. */
export interface EventSink {
  publishEvents(executionId: string, events: readonly WireEvent[], signal: AbortSignal): Promise<void>;
  updateExecution(executionId: string, update: UpdateExecution, signal: AbortSignal): Promise<void>;
  saveSession(executionId: string, session: SaveSession, signal: AbortSignal): Promise<void>;
}

export interface Publisher {
  publish(executionId: string, event: AgentEvent): void;
  /** Delivered after every event published before it. */
  update(executionId: string, update: UpdateExecution): void;
  saveSession(executionId: string, session: SaveSession): void;
  /** Waits until everything of the execution has arrived; false when `limitMs` was over first (delivery goes on). */
  flush(executionId: string, limitMs: number): Promise<boolean>;
  /** Delivers what is left for at most `limitMs`; the rest stays in the outbox for the next worker of this directory. */
  stop(limitMs: number): Promise<void>;
  readonly counters: Readonly<PublisherCounters>;
}

export interface PublisherCounters {
  delivered: number;
  /** Chunks left out because the queue was full; their final message has the whole text. */
  droppedChunks: number;
  /** Deliveries the control plane refused for good. */
  refused: number;
  failedAttempts: number;
  queued: number;
}

export interface PublisherOptions {
  readonly directory: string;
  readonly sink: EventSink;
  readonly log: Log;
}

const deliverySchema = v.variant('kind', [
  v.object({ kind: v.literal('event'), event: agentEventSchema }),
  v.object({ kind: v.literal('update'), update: v.record(v.string(), v.unknown()) }),
  v.object({ kind: v.literal('session'), session: v.record(v.string(), v.unknown()) }),
]);
type Delivery =
  | { readonly kind: 'event'; event: WireEvent }
  | { readonly kind: 'update'; readonly update: UpdateExecution }
  | { readonly kind: 'session'; readonly session: SaveSession };

/** Chunks wait in memory only: beyond this many the newest are left out, because the final message repeats them. */
const chunksQueuedMax = 2_000;
/** Adjacent chunks of one message become one event up to this size, a comfortable SSE frame. */
const chunkCharactersMax = 16_000;
/** A batch stays far below the server's 4 MB body limit. */
const batchCharactersMax = 500_000;
/** A control plane that does not answer within this time is as good as down for this attempt. */
const attemptTimeoutMs = 10_000;
/** A quick tool's start and end, and the next one's start, go in one request; nobody sees so short a delay. */
const toolGatherMs = 50;
const backoff = { firstMs: 250, mostMs: 10_000 };
const outboxSuffix = '.outbox';
/** A server that fails with 500 may do so only at this report, so it is tried for half a minute and then left out. */
const serverFaultAttemptsMax = 8;
const serverFaultCodes: ReadonlySet<string> = new Set(['http_500', 'internal']);
/** An execution may end on another worker, which nobody tells us: idle lanes beyond this many close their files. */
const lanesMax = 200;

/** Starts with what an earlier worker of this directory left undelivered. */
export function createPublisher(options: PublisherOptions): Publisher {
  const counters: PublisherCounters = { delivered: 0, droppedChunks: 0, refused: 0, failedAttempts: 0, queued: 0 };
  const stopping = new AbortController();
  const lanes = new Map<string, Lane>();
  const laneOf = (executionId: string): Lane => {
    let lane = lanes.get(executionId);
    if (lane === undefined) {
      if (lanes.size >= lanesMax) for (const other of lanes.values()) if (other.rest()) break;
      lane = new Lane(executionId, options, counters, stopping.signal, () => lanes.delete(executionId));
      lanes.set(executionId, lane);
    }
    return lane;
  };
  for (const executionId of outboxesIn(options.directory)) laneOf(executionId).wake();
  return {
    publish: (executionId, event) => laneOf(executionId).push({ kind: 'event', event }),
    update: (executionId, update) => laneOf(executionId).push({ kind: 'update', update }),
    saveSession: (executionId, session) => laneOf(executionId).push({ kind: 'session', session }),
    flush: async (executionId, limitMs) => (await lanes.get(executionId)?.drained(limitMs)) ?? true,
    stop: async (limitMs) => {
      await Promise.all([...lanes.values()].map((lane) => lane.drained(limitMs)));
      stopping.abort();
      for (const lane of lanes.values()) lane.close();
    },
    counters,
  };
}

/** The queue of one execution: one delivery at a time, so that order holds. Lives while something is undelivered. */
class Lane {
  private readonly queue: Delivery[];
  private readonly outbox: Outbox;
  private isRunning = false;
  /** While it is set, the lane waits for more of the same before it delivers. */
  private gathering: NodeJS.Timeout | undefined;
  /** True after a status that means no activity: nothing more is expected soon, so no file is kept open. */
  private isAtRest = true;
  private readonly waiters: (() => void)[] = [];

  constructor(
    private readonly executionId: string,
    private readonly options: PublisherOptions,
    private readonly counters: PublisherCounters,
    private readonly stopping: AbortSignal,
    private readonly onEmpty: () => void,
  ) {
    this.outbox = new Outbox(join(options.directory, `${encodeURIComponent(executionId)}${outboxSuffix}`), options.log);
    this.queue = this.outbox.read();
    counters.queued += this.queue.length;
  }

  push(delivery: Delivery): void {
    this.isAtRest = delivery.kind === 'update' && delivery.update.status !== 'running';
    const isChunk = delivery.kind === 'event' && isSuperseded(delivery.event);
    if (isChunk && this.coalesce(delivery.event)) return;
    if (isChunk && this.queue.length >= chunksQueuedMax) {
      this.counters.droppedChunks++;
      return;
    }
    if (!isChunk) this.outbox.append(delivery);
    this.queue.push(delivery);
    this.counters.queued++;
    this.wake(delivery.kind === 'event' && /^(member_)?tool_/.test(delivery.event.event_type) ? toolGatherMs : 0);
  }

  wake(delayMs = 0): void {
    const isHurried = this.gathering !== undefined && delayMs === 0;
    if (this.isRunning && !isHurried) return;
    this.isRunning = true;
    clearTimeout(this.gathering);
    this.gathering = undefined;
    // One turn of the event loop lets a burst become one batch.
    if (delayMs === 0) setImmediate(() => void this.run());
    else this.gathering = setTimeout(() => this.wake(), delayMs);
  }

  /** Lets go of file and lane when nothing is undelivered; false otherwise. */
  rest(): boolean {
    if (this.isRunning || this.queue.length > 0) return false;
    this.outbox.remove();
    this.onEmpty();
    return true;
  }

  drained(limitMs: number): Promise<boolean> {
    if (!this.isRunning && this.queue.length === 0) return Promise.resolve(true);
    this.wake();
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), limitMs);
      this.waiters.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  close(): void {
    clearTimeout(this.gathering);
    this.outbox.close();
  }

  /** Never rejects: every failure of a delivery is handled in `deliver`. */
  private async run(): Promise<void> {
    while (this.queue.length > 0 && !this.stopping.aborted) {
      const batch = this.takeBatch();
      const isSettled = await this.deliver(batch);
      if (!isSettled) return; // stopping: the outbox keeps it
      this.counters.queued -= batch.length;
    }
    this.isRunning = false;
    if (this.queue.length > 0) return;
    if (this.isAtRest) this.rest();
    else this.outbox.clear();
    for (const waiter of this.waiters.splice(0)) waiter();
  }

  private takeBatch(): Delivery[] {
    const [first] = this.queue;
    if (first?.kind !== 'event') return this.queue.splice(0, 1);
    let length = 0;
    let characters = 0;
    for (const delivery of this.queue) {
      if (delivery.kind !== 'event' || length >= eventBatchCountMax || characters > batchCharactersMax) break;
      characters += JSON.stringify(delivery.event).length;
      length++;
    }
    return this.queue.splice(0, length);
  }

  /** Tries until it has arrived or was refused for good; false when the publisher stopped first. */
  private async deliver(batch: readonly Delivery[]): Promise<boolean> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.attempt(batch, AbortSignal.any([this.stopping, AbortSignal.timeout(attemptTimeoutMs)]));
        this.counters.delivered += batch.length;
        return true;
      } catch (error) {
        if (this.stopping.aborted) return false;
        if (isRefusal(error, attempt)) {
          if (batch.length > 1 && isOnesFault(error)) return this.deliverHalves(batch);
          this.counters.refused += batch.length;
          this.options.log.warn('The control plane refused a report', {
            execution: this.executionId,
            count: batch.length,
            reason: messageOf(error),
          });
          return true;
        }
        this.counters.failedAttempts++;
        this.options.log.debug('A report did not arrive, trying again', {
          execution: this.executionId,
          reason: messageOf(error),
        });
        await sleep(backoffDelayMs(attempt, backoff), this.stopping).catch(() => undefined);
      }
    }
  }

  /** Finds the one that the control plane does not take: the others must not be lost with it. */
  private async deliverHalves(batch: readonly Delivery[]): Promise<boolean> {
    const middle = Math.ceil(batch.length / 2);
    return (await this.deliver(batch.slice(0, middle))) && this.deliver(batch.slice(middle));
  }

  private attempt(batch: readonly Delivery[], signal: AbortSignal): Promise<void> {
    const [first] = batch;
    if (first === undefined) return Promise.resolve();
    const { sink } = this.options;
    if (first.kind === 'update') return sink.updateExecution(this.executionId, first.update, signal);
    if (first.kind === 'session') return sink.saveSession(this.executionId, first.session, signal);
    const events = batch.flatMap((delivery) => (delivery.kind === 'event' ? [delivery.event] : []));
    return sink.publishEvents(this.executionId, events, signal);
  }

  /** Joins a chunk to the last waiting one of the same message. */
  private coalesce(event: WireEvent): boolean {
    const last = this.queue.at(-1);
    if (last?.kind !== 'event' || last.event.event_type !== event.event_type) return false;
    const field = chunkField(event.event_type);
    if (field === undefined || streamOf(last.event) !== streamOf(event)) return false;
    const joined = `${textOf(last.event.data[field])}${textOf(event.data[field])}`;
    if (joined.length > chunkCharactersMax) return false;
    last.event = { ...last.event, data: { ...last.event.data, [field]: joined } };
    return true;
  }
}

const faultsOfOne: ReadonlySet<string> = new Set(['event_too_large', 'body_too_large', 'invalid_request']);

function isOnesFault(error: unknown): boolean {
  return error instanceof KubiyaError && faultsOfOne.has(error.code);
}

function isRefusal(error: unknown, attempt: number): boolean {
  if (!(error instanceof KubiyaError) || error.isRetryable || error.kind === 'network') return false;
  return !serverFaultCodes.has(error.code) || attempt >= serverFaultAttemptsMax;
}

/** Events whose text a later event repeats in full: not worth the disk, and the first to go when the queue is full. */
function isSuperseded(event: WireEvent): boolean {
  return chunkField(event.event_type) !== undefined;
}

function chunkField(eventType: string): 'content' | 'thinking' | undefined {
  switch (eventType) {
    case 'message_chunk':
    case 'member_message_chunk':
    case 'tool_output':
      return 'content';
    case 'thinking_delta':
    case 'member_thinking_delta':
      return 'thinking';
    default:
      return undefined;
  }
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
const streamOf = (event: WireEvent): string =>
  textOf(event.data['message_id']) || textOf(event.data['tool_execution_id']);

/** The undelivered deliveries of one execution on disk, oldest first. A disk that cannot be written costs only this copy. */
class Outbox {
  private descriptor: number | undefined;

  constructor(
    private readonly path: string,
    private readonly log: Log,
  ) {}

  read(): Delivery[] {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch {
      return []; // nothing was left
    }
    return text.split('\n').flatMap((line) => {
      const delivery = parseDelivery(line);
      return delivery === undefined ? [] : [delivery];
    });
  }

  append(delivery: Delivery): void {
    try {
      const { O_APPEND, O_CREAT, O_WRONLY, O_NOFOLLOW } = constants;
      this.descriptor ??= openSync(this.path, O_APPEND | O_CREAT | O_WRONLY | (O_NOFOLLOW ?? 0), 0o600);
      // A newline before it as well: the line before it may have been torn by a kill or a full disk.
      const line = Buffer.from(`\n${JSON.stringify(delivery)}\n`);
      if (writeSync(this.descriptor, line) !== line.length) throw new Error('the disk is full');
    } catch (error) {
      this.log.warn('The outbox cannot be written, a crash now would lose a report', { reason: messageOf(error) });
    }
  }

  /** Everything has arrived. */
  clear(): void {
    this.attempt(() =>
      this.descriptor === undefined ? rmSync(this.path, { force: true }) : ftruncateSync(this.descriptor, 0),
    );
  }

  remove(): void {
    this.attempt(() => {
      this.close();
      rmSync(this.path, { force: true });
    });
  }

  /** What stays on a disk that has become read-only is delivered once more by the next worker, which changes nothing. */
  private attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.log.warn('The outbox cannot be emptied', { reason: messageOf(error) });
    }
  }

  close(): void {
    if (this.descriptor !== undefined) closeSync(this.descriptor);
    this.descriptor = undefined;
  }
}

function parseDelivery(line: string): Delivery | undefined {
  if (line === '') return undefined;
  try {
    const parsed = v.safeParse(deliverySchema, JSON.parse(line));
    // What we wrote ourselves: the shapes of update and session are checked by the server, which is the one to judge.
    return parsed.success ? (parsed.output as Delivery) : undefined;
  } catch {
    return undefined; // a torn last line
  }
}

function outboxesIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith(outboxSuffix))
    .map((name) => decodeURIComponent(name.slice(0, -outboxSuffix.length)));
}
