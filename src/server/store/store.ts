// The control plane's state: one SQLite database behind a few typed tables.
import type { Clock } from '../../lib/clock.ts';
import { createAnalytics, type Analytics } from './analytics.ts';
import { createApprovals, type Approvals } from './approvals.ts';
import { openDatabase } from './database.ts';
import { createEvents, type Events } from './events.ts';
import { createExecutions, type Executions } from './executions.ts';
import { createJobs, type Jobs } from './jobs.ts';
import { createQueues, type Queues } from './queues.ts';
import { createResources, type Resources } from './resources.ts';
import { snapshotOf, type Snapshot } from './snapshot.ts';

export interface Store {
  readonly resources: Resources;
  readonly queues: Queues;
  readonly executions: Executions;
  readonly events: Events;
  readonly approvals: Approvals;
  readonly analytics: Analytics;
  readonly jobs: Jobs;
  /** All or nothing, durable when it returns. Nested calls join the outer one. */
  transaction<T>(run: () => T): T;
  /** A consistent copy beside the database; null for one in memory. Throws SQLite's error. */
  snapshot(): Snapshot | null;
  close(): void;
}

/** Throws a KubiyaError when the file cannot be used; `:memory:` keeps nothing. */
export function openStore(path: string, clock: Pick<Clock, 'now'>): Store {
  const database = openDatabase(path);
  const times = { nowMs: () => clock.now(), nowText: () => new Date(clock.now()).toISOString() };
  return {
    resources: createResources(database, times.nowText),
    queues: createQueues(database, times),
    executions: createExecutions(database, times),
    events: createEvents(database, times),
    approvals: createApprovals(database, times),
    analytics: createAnalytics(database),
    jobs: createJobs(database, times),
    transaction: (run) => database.transaction(run).immediate(),
    snapshot: () => (path === ':memory:' ? null : snapshotOf(database, path)),
    close: () => database.close(),
  };
}
