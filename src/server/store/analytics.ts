// What executions used: turns, tool calls and tasks as their workers report them, and their sums.
import type { Database, SQLQueryBindings } from 'bun:sqlite';
import type { AnalyticsSummary } from '../../protocol/analytics.ts';
import { parseBody, type Body } from './resources.ts';

export type RecordKind = 'turn' | 'tool_call' | 'task';

export interface AnalyticsScope {
  /** Number of one execution. */
  readonly execution?: number | undefined;
  readonly entityId?: string | undefined;
  /** Executions that were created at or after this time. */
  readonly since?: string | undefined;
}

export interface Analytics {
  /** False when a record of this id is there: the first stands. */
  add(execution: number, kind: RecordKind, recordId: string, body: Body): boolean;
  count(execution: number): number;
  records(execution: number, kind: RecordKind): Body[];
  summary(scope: AnalyticsScope): AnalyticsSummary;
}

type Bindings = SQLQueryBindings[];

const sum = (field: string, name: string): string => `coalesce(sum(json_extract(body, '$.${field}')), 0) AS ${name}`;

export function createAnalytics(database: Database): Analytics {
  const add = database.query<unknown, Bindings>('INSERT OR IGNORE INTO analytics VALUES (?, ?, ?, ?)');
  const count = database.query<{ count: number }, [number]>(
    'SELECT count(*) AS count FROM analytics WHERE execution = ?',
  );
  const records = database.query<{ body: string }, Bindings>(
    `SELECT body FROM analytics WHERE execution = ? AND kind = ?
     ORDER BY json_extract(body, '$.started_at'), record_id`,
  );
  const from = `FROM executions JOIN analytics ON execution = number
    WHERE (?1 IS NULL OR number = ?1) AND (?2 IS NULL OR entity_id = ?2) AND (?3 IS NULL OR created_at >= ?3)`;
  const totals = database.query<{ executions: number; turns: number; tool_calls: number; tasks: number }, Bindings>(
    `SELECT count(DISTINCT execution) AS executions, count(*) FILTER (WHERE kind = 'turn') AS turns,
       count(*) FILTER (WHERE kind = 'tool_call') AS tool_calls, count(*) FILTER (WHERE kind = 'task') AS tasks ${from}`,
  );
  const tokens = ['input', 'output', 'cache_read', 'cache_creation', 'total'].map((name) =>
    sum(`${name}_tokens`, `${name}_tokens`),
  );
  const models = database.query<AnalyticsSummary['models'][number], Bindings>(
    `SELECT json_extract(body, '$.model') AS model, count(*) AS turns, ${tokens.join(', ')},
       ${sum('total_cost', 'cost_usd')}, ${sum('duration_ms', 'duration_ms')}
     ${from} AND kind = 'turn' GROUP BY 1 ORDER BY cost_usd DESC, total_tokens DESC, model`,
  );
  const tools = database.query<AnalyticsSummary['tools'][number], Bindings>(
    `SELECT json_extract(body, '$.tool_name') AS tool_name, count(*) AS calls,
       count(*) FILTER (WHERE json_extract(body, '$.success') = 0) AS failures, ${sum('duration_ms', 'duration_ms')}
     ${from} AND kind = 'tool_call' GROUP BY 1 ORDER BY calls DESC, tool_name`,
  );
  return {
    add: (execution, kind, recordId, body) => add.run(execution, kind, recordId, JSON.stringify(body)).changes > 0,
    count: (execution) => count.get(execution)?.count ?? 0,
    records: (execution, kind) => records.all(execution, kind).map(({ body }) => parseBody(body)),
    summary: ({ execution, entityId, since }) => {
      const scope = [execution ?? null, entityId ?? null, since ?? null];
      const used = models.all(...scope);
      return {
        ...(totals.get(...scope) ?? { executions: 0, turns: 0, tool_calls: 0, tasks: 0 }),
        total_tokens: used.reduce((all, { total_tokens: one }) => all + one, 0),
        cost_usd: used.reduce((all, { cost_usd: one }) => all + one, 0),
        models: used,
        tools: tools.all(...scope),
      };
    },
  };
}
