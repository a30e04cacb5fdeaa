// Worker queues and the workers that registered on them.
import type { Database, SQLQueryBindings } from 'bun:sqlite';
import { createId } from '../../lib/ids.ts';
import { parseBody, type Body } from './resources.ts';

export interface QueueRecord {
  readonly id: string;
  readonly environmentId: string;
  readonly name: string;
  readonly status: string;
  /** Seconds. */
  readonly heartbeatInterval: number;
  readonly maxWorkers: number | null;
  readonly isEphemeral: boolean;
  readonly isSingleExecution: boolean;
  readonly autoCleanupAfterSeconds: number | null;
  /** The execution that a single-execution queue is for. */
  readonly claimedBy: string | null;
  /** display_name, description, tags, settings. */
  readonly body: Body;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export type NewQueue = Omit<QueueRecord, 'id' | 'claimedBy' | 'createdAt' | 'updatedAt'>;

export interface WorkerRecord {
  readonly id: string;
  readonly queueId: string;
  readonly registeredAtMs: number;
  readonly lastHeartbeatMs: number | null;
  /** What its last heartbeats said. */
  readonly body: Body;
}

export interface Queues {
  list(): QueueRecord[];
  find(id: string): QueueRecord | null;
  named(name: string): QueueRecord[];
  insert(queue: NewQueue): QueueRecord;
  replace(queue: QueueRecord): void;
  /** False when another execution has the queue. */
  claim(id: string, executionId: string): boolean;
  /** With its workers. */
  delete(id: string): void;

  register(queueId: string, body: Body): WorkerRecord;
  /** Null for a worker that is unknown or has disconnected. */
  findWorker(workerId: string): WorkerRecord | null;
  beat(workerId: string, options: { liveUntilMs: number; body: Body }): void;
  /** Replaces what is known of it, without a beat. */
  describe(workerId: string, body: Body): void;
  disconnect(workerId: string): void;
  liveWorkers(queueId: string): WorkerRecord[];
  /** Those that are gone as well, until they are forgotten. */
  knownWorkers(queueId: string): WorkerRecord[];
  liveWorkerCount(): number;
  /** When a worker of the queue was last alive. */
  lastLiveAtMs(queueId: string): number | null;
  /** Workers that went without a word, or disconnected, longer ago than this. */
  forgetWorkersBefore(ms: number): void;
}

interface QueueRow {
  id: string;
  environment_id: string;
  name: string;
  status: string;
  heartbeat_interval: number;
  max_workers: number | null;
  is_ephemeral: number;
  is_single_execution: number;
  auto_cleanup_after_seconds: number | null;
  claimed_by: string | null;
  body: string;
  created_at: string;
  updated_at: string;
}

export function createQueues(database: Database, clock: { nowMs(): number; nowText(): string }): Queues {
  const select = 'SELECT * FROM queues';
  const list = database.query<QueueRow, []>(`${select} ORDER BY created_at, id`);
  const byId = database.query<QueueRow, [string]>(`${select} WHERE id = ?`);
  const byName = database.query<QueueRow, [string]>(`${select} WHERE name = ? ORDER BY created_at`);
  const insert = database.query<unknown, SQLQueryBindings[]>(
    'INSERT INTO queues VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?)',
  );
  const update = database.query<unknown, SQLQueryBindings[]>(
    `UPDATE queues SET name = ?, status = ?, heartbeat_interval = ?, max_workers = ?, body = ?, updated_at = ? WHERE id = ?`,
  );
  const claim = database.query<unknown, string[]>(
    'UPDATE queues SET claimed_by = ?2 WHERE id = ?1 AND (claimed_by IS NULL OR claimed_by = ?2)',
  );
  const removeWorkers = database.query<unknown, string[]>('DELETE FROM workers WHERE queue_id = ?');
  const remove = database.query<unknown, string[]>('DELETE FROM queues WHERE id = ?');
  return {
    list: () => list.all().map(queueOf),
    find: (id) => optional(byId.get(id)),
    named: (name) => byName.all(name).map(queueOf),
    insert: (queue) => {
      const id = createId();
      const at = clock.nowText();
      const { environmentId, name, status, heartbeatInterval, maxWorkers, autoCleanupAfterSeconds } = queue;
      const [isEphemeral, isSingle] = [Number(queue.isEphemeral), Number(queue.isSingleExecution)];
      const fixed = [id, environmentId, name, status, heartbeatInterval, maxWorkers, isEphemeral, isSingle];
      insert.run(...fixed, autoCleanupAfterSeconds, JSON.stringify(queue.body), at, at);
      return { ...queue, id, claimedBy: null, createdAt: at, updatedAt: at };
    },
    replace: ({ id, name, status, heartbeatInterval, maxWorkers, body }) =>
      void update.run(name, status, heartbeatInterval, maxWorkers, JSON.stringify(body), clock.nowText(), id),
    claim: (id, executionId) => claim.run(id, executionId).changes > 0,
    delete: database.transaction((id: string) => {
      removeWorkers.run(id);
      remove.run(id);
    }),
    ...createWorkers(database, clock),
  };
}

type Workers = Pick<
  Queues,
  | 'register'
  | 'findWorker'
  | 'beat'
  | 'describe'
  | 'disconnect'
  | 'liveWorkers'
  | 'knownWorkers'
  | 'liveWorkerCount'
  | 'lastLiveAtMs'
  | 'forgetWorkersBefore'
>;

interface WorkerRow {
  id: string;
  queue_id: string;
  registered_at_ms: number;
  last_heartbeat_ms: number | null;
  body: string;
}

function createWorkers(database: Database, clock: { nowMs(): number }): Workers {
  const select = 'SELECT id, queue_id, registered_at_ms, last_heartbeat_ms, body FROM workers';
  const insert = database.query<unknown, SQLQueryBindings[]>(
    'INSERT INTO workers (id, queue_id, registered_at_ms, body) VALUES (?, ?, ?, ?)',
  );
  const connected = database.query<WorkerRow, [string]>(`${select} WHERE id = ? AND is_disconnected = 0`);
  const beat = database.query<unknown, SQLQueryBindings[]>(
    'UPDATE workers SET last_heartbeat_ms = ?, live_until_ms = ?, body = ? WHERE id = ?',
  );
  const describe = database.query<unknown, SQLQueryBindings[]>('UPDATE workers SET body = ? WHERE id = ?');
  const disconnect = database.query<unknown, string[]>(
    'UPDATE workers SET is_disconnected = 1, live_until_ms = 0 WHERE id = ?',
  );
  const live = database.query<WorkerRow, [string, number]>(
    `${select} WHERE queue_id = ? AND live_until_ms >= ? ORDER BY registered_at_ms, id`,
  );
  const known = database.query<WorkerRow, [string]>(`${select} WHERE queue_id = ? ORDER BY registered_at_ms, id`);
  const liveCount = database.query<{ count: number }, [number]>(
    'SELECT count(*) AS count FROM workers WHERE live_until_ms >= ?',
  );
  const lastLive = database.query<{ at: number | null }, [string]>(
    'SELECT max(last_heartbeat_ms) AS at FROM workers WHERE queue_id = ?',
  );
  const forget = database.query<unknown, [number]>(
    'DELETE FROM workers WHERE live_until_ms < ?1 AND coalesce(last_heartbeat_ms, registered_at_ms) < ?1',
  );
  return {
    register: (queueId, body) => {
      const id = createId();
      const registeredAtMs = clock.nowMs();
      insert.run(id, queueId, registeredAtMs, JSON.stringify(body));
      return { id, queueId, registeredAtMs, lastHeartbeatMs: null, body };
    },
    findWorker: (id) => {
      const row = connected.get(id);
      return row === null ? null : workerOf(row);
    },
    beat: (id, { liveUntilMs, body }) => void beat.run(clock.nowMs(), liveUntilMs, JSON.stringify(body), id),
    describe: (id, body) => void describe.run(JSON.stringify(body), id),
    disconnect: (id) => void disconnect.run(id),
    liveWorkers: (queueId) => live.all(queueId, clock.nowMs()).map(workerOf),
    knownWorkers: (queueId) => known.all(queueId).map(workerOf),
    liveWorkerCount: () => liveCount.get(clock.nowMs())?.count ?? 0,
    lastLiveAtMs: (queueId) => lastLive.get(queueId)?.at ?? null,
    forgetWorkersBefore: (ms) => void forget.run(ms),
  };
}

function optional(row: QueueRow | null): QueueRecord | null {
  return row === null ? null : queueOf(row);
}

function queueOf(row: QueueRow): QueueRecord {
  return {
    id: row.id,
    environmentId: row.environment_id,
    name: row.name,
    status: row.status,
    heartbeatInterval: row.heartbeat_interval,
    maxWorkers: row.max_workers,
    isEphemeral: row.is_ephemeral === 1,
    isSingleExecution: row.is_single_execution === 1,
    autoCleanupAfterSeconds: row.auto_cleanup_after_seconds,
    claimedBy: row.claimed_by,
    body: parseBody(row.body),
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

function workerOf(row: WorkerRow): WorkerRecord {
  return {
    id: row.id,
    queueId: row.queue_id,
    registeredAtMs: row.registered_at_ms,
    lastHeartbeatMs: row.last_heartbeat_ms,
    body: parseBody(row.body),
  };
}
