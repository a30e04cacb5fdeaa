// The live side of the event log: commits what workers publish in groups and wakes the streams that read it.
import type { WireEvent } from '../protocol/events.ts';
import { KubiyaError } from '../errors.ts';
import type { Store } from './store/store.ts';

export interface Published {
  readonly accepted: number;
  readonly duplicates: number;
}

export interface EventLog {
  /** Resolves when the events are on disk; rejects, for every caller of the group, when they could not be written. */
  publish(execution: number, events: readonly WireEvent[]): Promise<Published>;
  /** Commits what is waiting now. */
  flush(): void;
  /** Wakes the streams of an execution after rows were appended outside `publish`. */
  notify(execution: number): void;
  /** `wake` is called after new rows can be read, any number of times; it must not throw. Returns the unsubscription. */
  subscribe(execution: number, wake: () => void): () => void;
  readonly subscriberCount: number;
  /** Commits what is waiting and wakes everybody a last time. */
  close(): void;
}

/** Each commit is one fsync: 100 events share it, and none waits longer than this (50,000 events a second). */
const groupEventsMax = 100;
const groupDelayMsMax = 5;

interface Waiting {
  readonly execution: number;
  readonly events: readonly WireEvent[];
  readonly resolve: (published: Published) => void;
  readonly reject: (error: unknown) => void;
}

export function createEventLog(store: Store): EventLog {
  const subscribers = new Map<number, Set<() => void>>();
  let waiting: Waiting[] = [];
  let waitingEvents = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let flushedAt = -Infinity;
  let isClosed = false;
  let subscriberCount = 0;

  const notify = (execution: number): void => {
    for (const wake of subscribers.get(execution) ?? []) wake();
  };
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    const group = waiting;
    waiting = [];
    waitingEvents = 0;
    if (group.length === 0) return;
    flushedAt = performance.now();
    try {
      const published = store.transaction(() =>
        group.map(({ execution, events }) => store.events.append(execution, events)),
      );
      for (const [index, entry] of group.entries()) entry.resolve(published[index] ?? { accepted: 0, duplicates: 0 });
    } catch (error) {
      for (const entry of group) entry.reject(error);
      return;
    }
    for (const execution of new Set(group.map((entry) => entry.execution))) notify(execution);
  };
  return {
    publish: (execution, events) =>
      new Promise((resolve, reject) => {
        if (isClosed) {
          reject(
            new KubiyaError('The server is stopping', { kind: 'network', code: 'server_stopping', isRetryable: true }),
          );
          return;
        }
        waiting.push({ execution, events, resolve, reject });
        waitingEvents += events.length;
        if (waitingEvents >= groupEventsMax) flush();
        // After a pause the first event goes out at once, and what follows it within the delay shares a commit.
        else timer ??= setTimeout(flush, performance.now() - flushedAt > groupDelayMsMax ? 0 : groupDelayMsMax);
      }),
    flush,
    notify,
    subscribe: (execution, wake) => {
      const wakes = subscribers.get(execution) ?? new Set();
      subscribers.set(execution, wakes.add(wake));
      subscriberCount += 1;
      return () => {
        if (!wakes.delete(wake)) return;
        subscriberCount -= 1;
        if (wakes.size === 0) subscribers.delete(execution);
      };
    },
    get subscriberCount() {
      return subscriberCount;
    },
    close: () => {
      isClosed = true;
      flush();
      for (const execution of subscribers.keys()) notify(execution);
    },
  };
}
