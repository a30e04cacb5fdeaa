// Which executions came to this worker, which of them are still open, and how the first one ended: what --once and --idle-timeout go by.

/** `gone`: it has ended, and nobody knows how (terminated, or deleted). */
export type ExecutionEnd = 'completed' | 'failed' | 'cancelled' | 'gone';

/** Plain data, so that it can cross a process boundary. */
export interface WorkSnapshot {
  /** Executions that have a call running here now. */
  readonly live: readonly string[];
  /** Executions that came here and have not ended, as far as this worker knows; one that waits for input is open. */
  readonly open: readonly string[];
  /** Milliseconds for which nothing has been open or running; 0 while something is. */
  readonly idleMs: number;
  /** The execution that came first. */
  readonly first: { readonly id: string; readonly end: ExecutionEnd | null } | null;
  /** How many came after the first. */
  readonly others: number;
}

export interface ExecutionTracker {
  /** Something of this execution is about to run here. */
  seen(executionId: string): void;
  /** False when it has ended before: a report whose answer was lost is made again. */
  ended(executionId: string, end: ExecutionEnd): boolean;
  /** Somebody else says that it has ended; its own report may still come. */
  settled(executionId: string, end: ExecutionEnd): void;
  snapshot(live: readonly string[]): WorkSnapshot;
}

/** A report is made again within the outage that took its answer; so many do not end in it. */
const endedMax = 1_000;

/** `elapsed` is a monotonic clock in milliseconds. */
export function createExecutionTracker(elapsed: () => number): ExecutionTracker {
  const open = new Set<string>();
  const over = new Set<string>();
  let first: { readonly id: string; readonly end: ExecutionEnd | null } | null = null;
  let others = 0;
  let busyAtMs = elapsed();
  const close = (id: string, end: ExecutionEnd): void => {
    if (open.delete(id)) busyAtMs = elapsed();
    if (first?.id === id && first.end === null) first = { id, end };
  };
  return {
    seen: (id) => {
      // The report of its end is tried again when its answer was lost: it opens nothing again.
      if (open.has(id) || over.has(id) || (first?.id === id && first.end !== null)) return;
      if (first === null) first = { id, end: null };
      else if (first.id !== id) others += 1;
      open.add(id);
    },
    ended: (id, end) => {
      close(id, end);
      if (over.has(id)) return false;
      over.add(id);
      for (const oldest of over) if (over.size > endedMax) over.delete(oldest);
      return true;
    },
    settled: close,
    snapshot: (live) => {
      if (open.size > 0 || live.length > 0) busyAtMs = elapsed();
      return { live, open: [...open], idleMs: elapsed() - busyAtMs, first, others };
    },
  };
}
