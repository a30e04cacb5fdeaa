// Executions: one row each, written before the workflow is started and final once it has ended.
import type { Database, SQLQueryBindings } from 'bun:sqlite';
import type * as v from 'valibot';
import type { executeRequestSchema } from '../../protocol/control-plane.ts';
import { terminalStatuses, workflowOf, type ExecutionInput, type ExecutionStatus } from '../../protocol/workflow.ts';
import { parseBody, withoutUndefined, type Body } from './resources.ts';

export type ExecuteInput = v.InferOutput<typeof executeRequestSchema>;

export interface ExecutionRecord {
  /** Key of the events table; ids are long and events many. */
  readonly number: number;
  readonly id: string;
  readonly entityId: string;
  readonly entityName: string;
  readonly queueId: string;
  readonly status: ExecutionStatus;
  readonly prompt: string;
  readonly response: string | null;
  readonly errorMessage: string | null;
  readonly usage: Body;
  readonly metadata: Body;
  /** As it was asked for, without the prompt. */
  readonly request: Omit<ExecuteInput, 'prompt'>;
  readonly workflowInput: ExecutionInput;
  readonly workflowId: string;
  readonly requestHash: string;
  readonly isOpen: boolean;
  readonly isWorkflowStarted: boolean;
  readonly cancelRequestedAtMs: number | null;
  /** Why no worker can go on with it; null while one can, and once it has ended. */
  readonly stuckReason: string | null;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly startedAt: string | null;
  readonly completedAt: string | null;
}

export interface NewExecution {
  readonly id: string;
  readonly entityId: string;
  readonly entityName: string;
  readonly queueId: string;
  readonly request: ExecuteInput;
  readonly workflowInput: ExecutionInput;
  readonly idempotencyKey: string | null;
  readonly requestHash: string;
}

/** Absent fields stay as they are. */
export interface ExecutionChange {
  readonly status?: ExecutionStatus | undefined;
  readonly response?: string | undefined;
  readonly errorMessage?: string | undefined;
  readonly usage?: Body | undefined;
  readonly metadata?: Body | undefined;
  readonly startedAt?: string | undefined;
  readonly completedAt?: string | undefined;
}

export interface ExecutionFilter {
  readonly skip: number;
  readonly limit: number;
  readonly status?: string | undefined;
  readonly entityId?: string | undefined;
  readonly queueId?: string | undefined;
  readonly entityType?: 'agent' | 'team' | undefined;
}

export interface Executions {
  insert(execution: NewExecution): ExecutionRecord;
  find(id: string): ExecutionRecord | null;
  byIdempotencyKey(key: string): ExecutionRecord | null;
  /** Newest first. */
  list(filter: ExecutionFilter): ExecutionRecord[];
  /** Those with a higher number than `after`, oldest first. */
  open(limit: number, after: number): ExecutionRecord[];
  openCount(): number;
  stuckCount(): number;
  openOfQueue(queueId: string): ExecutionRecord[];
  change(execution: ExecutionRecord, change: ExecutionChange): ExecutionRecord;
  markStarted(id: string): void;
  requestCancel(id: string): void;
  setStuck(id: string, reason: string | null): void;
  /** With events and session. */
  delete(number: number): void;
  /** Ended executions, oldest first, that ended before `before` or are beyond the newest `keep`. */
  expired(options: { before: string; keep: number; limit: number }): number[];

  saveSession(number: number, session: SessionRecord): void;
  findSession(number: number): SessionRecord | null;
}

export interface SessionRecord {
  readonly sessionId: string;
  readonly messages: Body[];
  readonly metadata: Body;
}

interface Row {
  number: number;
  id: string;
  entity_id: string;
  entity_name: string;
  queue_id: string;
  status: string;
  prompt: string;
  response: string | null;
  error_message: string | null;
  usage: string;
  metadata: string;
  request: string;
  workflow_input: string;
  request_hash: string;
  is_open: number;
  is_workflow_started: number;
  cancel_requested_at_ms: number | null;
  stuck_reason: string | null;
  created_at: string;
  updated_at: string;
  started_at: string | null;
  completed_at: string | null;
}

type Bindings = SQLQueryBindings[];

export function createExecutions(database: Database, clock: { nowMs(): number; nowText(): string }): Executions {
  const select = 'SELECT * FROM executions';
  const insert = database.query<Row, Bindings>(
    `INSERT INTO executions (id, entity_id, entity_name, queue_id, status, prompt, request, workflow_input,
       idempotency_key, request_hash, created_at, updated_at)
     VALUES (?, ?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?, ?) RETURNING *`,
  );
  const byId = database.query<Row, [string]>(`${select} WHERE id = ?`);
  const byKey = database.query<Row, [string]>(`${select} WHERE idempotency_key = ?`);
  const open = database.query<Row, [number, number]>(
    `${select} WHERE is_open = 1 AND number > ? ORDER BY number LIMIT ?`,
  );
  const openCount = database.query<{ count: number }, []>('SELECT count(*) AS count FROM executions WHERE is_open = 1');
  const openOfQueue = database.query<Row, [string]>(`${select} WHERE queue_id = ? AND is_open = 1 ORDER BY number`);
  const change = database.query<Row, Bindings>(
    `UPDATE executions SET status = ?, response = ?, error_message = ?, usage = ?, metadata = ?, started_at = ?,
       completed_at = ?, is_open = ?, updated_at = ?, stuck_reason = NULL WHERE number = ? RETURNING *`,
  );
  const started = database.query<unknown, [string]>('UPDATE executions SET is_workflow_started = 1 WHERE id = ?');
  const cancel = database.query<unknown, Bindings>(
    'UPDATE executions SET cancel_requested_at_ms = coalesce(cancel_requested_at_ms, ?) WHERE id = ?',
  );
  const stuck = database.query<unknown, Bindings>(
    'UPDATE executions SET stuck_reason = ? WHERE id = ? AND is_open = 1',
  );
  const stuckCount = database.query<{ count: number }, []>(
    'SELECT count(*) AS count FROM executions WHERE is_open = 1 AND stuck_reason IS NOT NULL',
  );
  const maybe = (row: Row | null): ExecutionRecord | null => (row === null ? null : recordOf(row));
  return {
    insert: ({ id, entityId, entityName, queueId, request, workflowInput, idempotencyKey, requestHash }) => {
      const { prompt, ...rest } = request;
      const at = clock.nowText();
      const json = [JSON.stringify(rest), JSON.stringify(workflowInput)];
      const fields = [id, entityId, entityName, queueId, prompt, ...json, idempotencyKey, requestHash, at, at];
      return present(insert.get(...fields));
    },
    find: (id) => maybe(byId.get(id)),
    byIdempotencyKey: (key) => maybe(byKey.get(key)),
    open: (limit, after) => open.all(after, limit).map(recordOf),
    openCount: () => openCount.get()?.count ?? 0,
    stuckCount: () => stuckCount.get()?.count ?? 0,
    openOfQueue: (queueId) => openOfQueue.all(queueId).map(recordOf),
    change: (record, changes) => {
      const next = { ...record, ...withoutUndefined(changes) };
      const json = [JSON.stringify(next.usage), JSON.stringify(next.metadata)];
      const isOpen = Number(!terminalStatuses.has(next.status));
      const times = [next.startedAt, next.completedAt, isOpen, clock.nowText()];
      return present(change.get(next.status, next.response, next.errorMessage, ...json, ...times, record.number));
    },
    markStarted: (id) => void started.run(id),
    requestCancel: (id) => void cancel.run(clock.nowMs(), id),
    setStuck: (id, reason) => void stuck.run(reason, id),
    ...createList(database),
    ...createRetention(database),
    ...createSessions(database, clock),
  };
}

/** As the index `executions_of_teams` has it. SQLite cannot read what nests too deep, which old releases took. */
const isTeams = "json_valid(workflow_input) AND json_extract(workflow_input, '$.team_id') IS NOT NULL";

function createList(database: Database): Pick<Executions, 'list'> {
  const listed = (condition: string) =>
    database.query<Row, Bindings>(
      `SELECT * FROM executions WHERE (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR entity_id = ?2)
         AND (?3 IS NULL OR queue_id = ?3) ${condition} ORDER BY number DESC LIMIT ?4 OFFSET ?5`,
    );
  const lists = {
    all: listed(''),
    team: listed(`AND ${isTeams}`),
    agent: listed(`AND NOT (${isTeams})`),
  };
  return {
    list: ({ status, entityId, queueId, entityType, limit, skip }) => {
      const filters = [status ?? null, entityId ?? null, queueId ?? null];
      return lists[entityType ?? 'all'].all(...filters, limit, skip).map(recordOf);
    },
  };
}

function createRetention(database: Database): Pick<Executions, 'delete' | 'expired'> {
  // Asked in every round of the reconciler: the rows themselves, which are large, must not be read for it.
  const expired = database.query<{ number: number }, Bindings>(
    `SELECT number FROM executions INDEXED BY executions_ended WHERE is_open = 0 AND (updated_at < ?1 OR number <=
       (SELECT number FROM executions ORDER BY number DESC LIMIT 1 OFFSET ?2)) ORDER BY number LIMIT ?3`,
  );
  const removals = [
    'DELETE FROM events WHERE execution = ?',
    'DELETE FROM sessions WHERE execution = ?',
    'DELETE FROM approvals WHERE execution = ?',
    'DELETE FROM analytics WHERE execution = ?',
    'DELETE FROM executions WHERE number = ?',
  ].map((statement) => database.query<unknown, [number]>(statement));
  return {
    delete: database.transaction((number: number) => {
      for (const removal of removals) removal.run(number);
    }),
    expired: ({ before, keep, limit }) => expired.all(before, keep, limit).map(({ number }) => number),
  };
}

function createSessions(
  database: Database,
  clock: { nowText(): string },
): Pick<Executions, 'saveSession' | 'findSession'> {
  const save = database.query<unknown, Bindings>('INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?)');
  const find = database.query<{ session_id: string; messages: string; metadata: string }, [number]>(
    'SELECT session_id, messages, metadata FROM sessions WHERE execution = ?',
  );
  return {
    saveSession: (number, { sessionId, messages, metadata }) =>
      void save.run(number, sessionId, JSON.stringify(messages), JSON.stringify(metadata), clock.nowText()),
    findSession: (number) => {
      const row = find.get(number);
      if (row === null) return null;
      const messages = JSON.parse(row.messages) as Body[];
      return { sessionId: row.session_id, messages, metadata: parseBody(row.metadata) };
    },
  };
}

function present(row: Row | null): ExecutionRecord {
  if (row === null) throw new Error('the row that was just written is not there');
  return recordOf(row);
}

function recordOf(row: Row): ExecutionRecord {
  const workflowInput = JSON.parse(row.workflow_input) as ExecutionInput;
  return {
    number: row.number,
    id: row.id,
    entityId: row.entity_id,
    entityName: row.entity_name,
    queueId: row.queue_id,
    status: row.status as ExecutionStatus,
    prompt: row.prompt,
    response: row.response,
    errorMessage: row.error_message,
    usage: parseBody(row.usage),
    metadata: parseBody(row.metadata),
    request: JSON.parse(row.request) as ExecutionRecord['request'],
    workflowInput,
    workflowId: workflowOf(workflowInput).id,
    requestHash: row.request_hash,
    isOpen: row.is_open === 1,
    isWorkflowStarted: row.is_workflow_started === 1,
    cancelRequestedAtMs: row.cancel_requested_at_ms,
    stuckReason: row.stuck_reason,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    startedAt: row.started_at,
    completedAt: row.completed_at,
  };
}
