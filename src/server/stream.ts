// The event stream of an execution: replays its log from any point, then follows it, reading only as fast as the client does.
import type { ServerDeps } from './deps.ts';
import type { EventRow } from './store/events.ts';
import type { ExecutionRecord } from './store/executions.ts';
import { organizationId } from './deps.ts';

export type StreamDeps = Pick<ServerDeps, 'store' | 'events' | 'clock' | 'stopping'>;

/** Rows read at once: a client that is slow holds one such page (at most 2 MB) in our memory, and nothing else. */
const pageEventsMax = 100;
/** Proxies cut silent connections after 30–60 s; the cloud's server says something as often. */
export const keepAliveIntervalMs = 15_000;

const headers = {
  'Content-Type': 'text/event-stream; charset=utf-8',
  'Cache-Control': 'no-cache, no-transform',
  // nginx would collect the stream otherwise.
  'X-Accel-Buffering': 'no',
};

/** The response ends after `done`, when the client goes, or with `reconnect` when the server stops. */
export function streamExecution(
  deps: StreamDeps,
  execution: ExecutionRecord,
  lastEventId: string | undefined,
  clientGone: AbortSignal,
): Response {
  const ended = new AbortController();
  const signal = AbortSignal.any([ended.signal, clientGone, deps.stopping]);
  const frames = follow(deps, execution, lastEventId, signal);
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const { value, done } = await frames.next();
      if (done === true) controller.close();
      else controller.enqueue(encoder.encode(value));
    },
    cancel: async () => {
      ended.abort();
      await frames.return();
    },
  });
  return new Response(body, { headers });
}

async function* follow(
  deps: StreamDeps,
  { id, number, status }: ExecutionRecord,
  lastEventId: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<string, void, void> {
  const { store, events, clock } = deps;
  const start = startOf(deps, id, number, lastEventId);
  const wakeup = createWakeup(signal);
  const unsubscribe = events.subscribe(number, wakeup.wake);
  let cursor = start.sequence;
  let isHistory = start.isWhole;
  let messages = 0;
  let last: EventRow | undefined;
  try {
    const connected = { execution_id: id, organization_id: organizationId, status, connected_at: clock.now() / 1000 };
    yield mark('connected', connected);
    if (start.gap !== undefined) yield mark('gap_detected', start.gap);
    while (!signal.aborted) {
      const page = store.events.after(number, cursor, pageEventsMax);
      cursor = page.at(-1)?.sequence ?? cursor;
      messages += page.filter((row) => row.eventType === 'message').length;
      // `done` is said last, even when a worker delivered an event after its final report.
      last = page.find((row) => row.eventType === 'done') ?? last;
      const text = page.filter((row) => row.eventType !== 'done').map((row) => frame(id, row));
      if (text.length > 0) yield text.join('');
      if (page.length > 0) continue;
      if (isHistory) {
        isHistory = false;
        yield mark('history_complete', {
          execution_id: id,
          message_count: messages,
          is_truncated: false,
          has_more: false,
        });
      }
      last ??= doneBefore(deps, id, number);
      if (last !== undefined) {
        yield frame(id, last);
        return;
      }
      if ((await wakeup.next(keepAliveIntervalMs)) === 'timeout') yield ': keepalive\n\n';
    }
    if (deps.stopping.aborted) yield mark('reconnect', { reason: 'server_stopping' });
  } finally {
    unsubscribe();
    wakeup.dispose();
  }
}

interface Start {
  readonly sequence: number;
  /** The log is sent from its beginning, so its end is marked. */
  readonly isWhole: boolean;
  readonly gap?: { readonly reason: string; readonly buffer_oldest: string | null };
}

/** An id that is not exactly one of ours (another execution, another database) starts over: better twice than never. */
function startOf({ store }: StreamDeps, id: string, number: number, lastEventId: string | undefined): Start {
  if (lastEventId === undefined || lastEventId === '') return { sequence: 0, isWhole: true };
  const match = /^(?<id>.+)_(?<sequence>\d{1,12})_(?<micros>\d{1,17})$/.exec(lastEventId)?.groups;
  const row = match?.['id'] === id ? store.events.at(number, Number(match['sequence'])) : null;
  if (row !== null && row.storedAtMicros === Number(match?.['micros']))
    return { sequence: row.sequence, isWhole: false };
  const [oldest] = store.events.after(number, 0, 1);
  const buffer_oldest = oldest === undefined ? null : frameId(id, oldest);
  return { sequence: 0, isWhole: true, gap: { reason: 'unknown_last_event_id', buffer_oldest } };
}

/** For a client that resumes behind `done`: it is said again. */
function doneBefore({ store }: StreamDeps, id: string, number: number): EventRow | undefined {
  return store.executions.find(id)?.isOpen === false ? (store.events.done(number) ?? undefined) : undefined;
}

function frameId(executionId: string, row: EventRow): string {
  return `${executionId}_${row.sequence}_${row.storedAtMicros}`;
}

/** These are flat, everything else is `{event_type, data, timestamp}`. */
const flatTypes: ReadonlySet<string> = new Set(['message', 'status', 'done']);

function frame(executionId: string, row: EventRow): string {
  const rest = `"timestamp":${JSON.stringify(row.timestamp)},"event_id":${JSON.stringify(row.eventId)}`;
  const type = JSON.stringify(row.eventType);
  // Rows hold JSON objects on one line, so they are joined as text instead of parsed again.
  const flat = row.data === '{}' ? `{${rest}}` : `${row.data.slice(0, -1)},${rest}}`;
  const data = flatTypes.has(row.eventType) ? flat : `{"event_type":${type},"data":${row.data},${rest}}`;
  return `id: ${frameId(executionId, row)}\nevent: ${row.eventType.replaceAll(/[\r\n]/g, ' ')}\ndata: ${data}\n\n`;
}

/** A frame of this connection, without an id: it is no place to resume from. */
function mark(type: string, data: Readonly<Record<string, unknown>>): string {
  return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}

interface Wakeup {
  readonly wake: () => void;
  /** `woken` also when it was woken since the last call, or the signal has aborted. */
  next(timeoutMs: number): Promise<'woken' | 'timeout'>;
  dispose(): void;
}

function createWakeup(signal: AbortSignal): Wakeup {
  let isPending = false;
  let resume: ((how: 'woken' | 'timeout') => void) | undefined;
  const wake = (): void => {
    isPending = true;
    resume?.('woken');
  };
  signal.addEventListener('abort', wake, { once: true });
  return {
    wake,
    next: async (timeoutMs) => {
      if (!isPending && !signal.aborted) {
        const how = await new Promise<'woken' | 'timeout'>((resolve) => {
          const timer = setTimeout(() => resolve('timeout'), timeoutMs);
          resume = (reason) => {
            clearTimeout(timer);
            resolve(reason);
          };
        });
        resume = undefined;
        if (how === 'timeout') return how;
      }
      isPending = false;
      return 'woken';
    },
    dispose: () => signal.removeEventListener('abort', wake),
  };
}
