// Approvals: asked for once for each call, settled once, and kept until the workflow that waits has been told.
import type { Database, SQLQueryBindings } from 'bun:sqlite';
import type * as v from 'valibot';
import { createId } from '../../lib/ids.ts';
import type { ApprovalStatus, createApprovalSchema } from '../../protocol/approvals.ts';

export type ApprovalRequest = v.InferOutput<typeof createApprovalSchema>;
export type Verdict = Exclude<ApprovalStatus, 'pending'>;

export interface ApprovalRecord {
  readonly id: string;
  /** Number of the execution that the control plane knows: the team's for a member's. */
  readonly execution: number;
  readonly executionId: string;
  readonly request: ApprovalRequest;
  readonly status: ApprovalStatus;
  readonly expiresAtMs: number;
  readonly createdAt: string;
  readonly resolvedAt: string | null;
  readonly resolvedByName: string | null;
  readonly resolvedByEmail: string | null;
  readonly reason: string | null;
  /** The workflow has been told, or is gone. */
  readonly isAnswered: boolean;
}

export interface Settlement {
  readonly status: Verdict;
  readonly name?: string | null;
  readonly email?: string | null;
  readonly reason?: string | null;
}

export interface Approvals {
  insert(execution: number, request: ApprovalRequest, expiresAtMs: number): ApprovalRecord;
  find(id: string): ApprovalRecord | null;
  byCall(execution: number, callId: string): ApprovalRecord | null;
  pendingCount(execution: number): number;
  /** Newest first. */
  list(filter: {
    execution?: number | undefined;
    status?: ApprovalStatus | undefined;
    limit: number;
  }): ApprovalRecord[];
  /** Of a pending one; another is left as it is. Returns what it is now. */
  settle(id: string, settlement: Settlement): ApprovalRecord | null;
  markAnswered(id: string): void;
  /** Pending ones that are due at `nowMs` or whose execution has ended. */
  due(nowMs: number, limit: number): ApprovalRecord[];
  /** Settled ones whose workflow has not been told. */
  unanswered(limit: number): ApprovalRecord[];
}

interface Row {
  id: string;
  execution: number;
  execution_id: string;
  request: string;
  status: string;
  expires_at_ms: number;
  created_at: string;
  resolved_at: string | null;
  resolved_by_name: string | null;
  resolved_by_email: string | null;
  reason: string | null;
  is_answered: number;
}

export function createApprovals(database: Database, clock: { nowText(): string }): Approvals {
  const select = `SELECT approvals.*, executions.id AS execution_id FROM approvals
    JOIN executions ON executions.number = approvals.execution`;
  const insert = database.query<unknown, SQLQueryBindings[]>(
    'INSERT INTO approvals (id, execution, call_id, request, expires_at_ms, created_at) VALUES (?, ?, ?, ?, ?, ?)',
  );
  const byId = database.query<Row, [string]>(`${select} WHERE approvals.id = ?`);
  const byCall = database.query<Row, [number, string]>(`${select} WHERE execution = ? AND call_id = ?`);
  const pending = database.query<{ count: number }, [number]>(
    "SELECT count(*) AS count FROM approvals WHERE execution = ? AND is_answered = 0 AND status = 'pending'",
  );
  const list = database.query<Row, SQLQueryBindings[]>(
    `${select} WHERE (?1 IS NULL OR execution = ?1) AND (?2 IS NULL OR approvals.status = ?2)
     ORDER BY approvals.rowid DESC LIMIT ?3`,
  );
  const settle = database.query<unknown, SQLQueryBindings[]>(
    `UPDATE approvals SET status = ?, resolved_at = ?, resolved_by_name = ?, resolved_by_email = ?, reason = ?
     WHERE id = ? AND status = 'pending'`,
  );
  const answered = database.query<unknown, [string]>('UPDATE approvals SET is_answered = 1 WHERE id = ?');
  const due = database.query<Row, [number, number]>(
    `${select} WHERE is_answered = 0 AND approvals.status = 'pending' AND (expires_at_ms <= ? OR is_open = 0) LIMIT ?`,
  );
  const unanswered = database.query<Row, [number]>(
    `${select} WHERE is_answered = 0 AND approvals.status <> 'pending' LIMIT ?`,
  );
  const maybe = (row: Row | null): ApprovalRecord | null => (row === null ? null : recordOf(row));
  return {
    insert: (execution, request, expiresAtMs) => {
      const id = createId();
      insert.run(id, execution, request.call_id ?? null, JSON.stringify(request), expiresAtMs, clock.nowText());
      const record = maybe(byId.get(id));
      if (record === null) throw new Error('the approval that was just written is not there');
      return record;
    },
    find: (id) => maybe(byId.get(id)),
    byCall: (execution, callId) => maybe(byCall.get(execution, callId)),
    pendingCount: (execution) => pending.get(execution)?.count ?? 0,
    list: ({ execution, status, limit }) => list.all(execution ?? null, status ?? null, limit).map(recordOf),
    settle: (id, { status, name, email, reason }) => {
      settle.run(status, clock.nowText(), name ?? null, email ?? null, reason ?? null, id);
      return maybe(byId.get(id));
    },
    markAnswered: (id) => void answered.run(id),
    due: (nowMs, limit) => due.all(nowMs, limit).map(recordOf),
    unanswered: (limit) => unanswered.all(limit).map(recordOf),
  };
}

function recordOf(row: Row): ApprovalRecord {
  return {
    id: row.id,
    execution: row.execution,
    executionId: row.execution_id,
    request: JSON.parse(row.request) as ApprovalRequest,
    status: row.status as ApprovalStatus,
    expiresAtMs: row.expires_at_ms,
    createdAt: row.created_at,
    resolvedAt: row.resolved_at,
    resolvedByName: row.resolved_by_name,
    resolvedByEmail: row.resolved_by_email,
    reason: row.reason,
    isAnswered: row.is_answered === 1,
  };
}
