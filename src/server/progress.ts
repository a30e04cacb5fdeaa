// How an execution moves on: a change of its row and the events that tell of it are one transaction.
import type { WireEvent } from '../protocol/events.ts';
import { terminalStatuses, type ExecutionStatus } from '../protocol/workflow.ts';
import type { ServerDeps } from './deps.ts';
import type { ExecutionChange, ExecutionRecord } from './store/executions.ts';

export type ProgressDeps = Pick<ServerDeps, 'store' | 'events' | 'clock'>;

/** Who says so, in the `source` of the status event. */
export type ProgressSource = 'worker' | 'user' | 'reconciler' | 'server';

/**
 * Applies a change and appends `status` when it is another one, and `done` when it is the last one. An execution that has
 * ended is not changed any more: a report that was repeated or came late gets the row as it is.
 */
export function advance(
  deps: ProgressDeps,
  id: string,
  change: ExecutionChange,
  source: ProgressSource,
): ExecutionRecord | null {
  const { store, events } = deps;
  // What was published before this report stands before it in the log.
  events.flush();
  const result = store.transaction(() => {
    const before = store.executions.find(id);
    if (before === null || !before.isOpen) return { before, after: before };
    const times = timesOf(deps, before, change.status);
    const { startedAt = times.startedAt, completedAt = times.completedAt } = change;
    const after = store.executions.change(before, { ...change, startedAt, completedAt });
    store.events.append(before.number, progressEvents(deps, before, after, source));
    return { before, after };
  });
  if (result.after !== null && result.after !== result.before) events.notify(result.after.number);
  return result.after;
}

function timesOf(
  { clock }: ProgressDeps,
  before: ExecutionRecord,
  status: ExecutionStatus | undefined,
): ExecutionChange {
  const now = new Date(clock.now()).toISOString();
  if (status === undefined) return {};
  return {
    startedAt: before.startedAt === null && status === 'running' ? now : undefined,
    completedAt: terminalStatuses.has(status) ? now : undefined,
  };
}

function progressEvents(
  { store, clock }: ProgressDeps,
  before: ExecutionRecord,
  after: ExecutionRecord,
  source: ProgressSource,
): WireEvent[] {
  if (after.status === before.status) return [];
  const timestamp = new Date(clock.now()).toISOString();
  const sequence = store.events.count(after.number) + 1;
  const { id, status, errorMessage } = after;
  const reason = errorMessage ?? undefined;
  const statusEvent: WireEvent = {
    event_id: `server:status:${sequence}`,
    event_type: 'status',
    data: { status, execution_id: id, source, reason },
    timestamp,
  };
  if (after.isOpen) return [statusEvent];
  const durationMs = Math.max(0, Date.parse(timestamp) - Date.parse(after.createdAt));
  const done: WireEvent = {
    event_id: 'server:done',
    event_type: 'done',
    data: {
      execution_id: id,
      status,
      response: after.response ?? '',
      error: reason,
      usage: after.usage,
      duration_ms: durationMs,
    },
    timestamp,
  };
  return [statusEvent, done];
}
