// Jobs: what is to run and when, which of them Temporal has not heard of yet, and which deliveries of webhooks have come.
import type { Database, SQLQueryBindings } from 'bun:sqlite';
import type { ExecutionEnvironment } from '../../protocol/control-plane.ts';
import type { OverlapPolicy } from '../../protocol/jobs.ts';

export type Trigger =
  | { readonly type: 'cron'; readonly expression: string; readonly timeZone: string }
  | { readonly type: 'interval'; readonly seconds: number }
  | { readonly type: 'webhook' }
  | { readonly type: 'manual' };

export interface JobDefinition {
  readonly name: string;
  readonly description: string | null;
  readonly isEnabled: boolean;
  readonly trigger: Trigger;
  readonly entityType: 'agent' | 'team';
  readonly entityId: string;
  readonly prompt: string;
  readonly systemPrompt: string | null;
  readonly modelId: string | null;
  readonly queueId: string;
  readonly executionEnvironment: ExecutionEnvironment | null;
  readonly limits: Readonly<Record<string, number>> | null;
  readonly overlapPolicy: OverlapPolicy;
  readonly catchUpSeconds: number;
}

export interface JobRecord {
  readonly id: string;
  readonly definition: JobDefinition;
  /** As it is: a signature can only be verified with the key itself. The file is the owner's alone. */
  readonly webhookSecret: string | null;
  /** Counts the changes. */
  readonly revision: number;
  /** False while Temporal has not heard of the last change. */
  readonly isSynced: boolean;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface JobCounts {
  readonly total: number;
  readonly successful: number;
  readonly failed: number;
}

export interface Jobs {
  /** By name. */
  list(): JobRecord[];
  /** By id, else by name. */
  find(idOrName: string): JobRecord | null;
  /** A name that is taken throws SQLite's unique violation; so does `replace`. */
  insert(id: string, definition: JobDefinition, webhookSecret: string | null): JobRecord;
  replace(id: string, definition: JobDefinition, webhookSecret: string | null): JobRecord;
  /** Leaves its id among the `removals` until Temporal has no schedule of it any more. */
  delete(id: string): void;

  /** Ids of jobs whose last change Temporal does not have. */
  unsynced(): string[];
  markSynced(id: string, revision: number): void;
  removals(): string[];
  forgetRemoval(id: string): void;

  /** Ids of its executions, newest first. */
  executionsOf(id: string, options: { limit: number; skip: number }): string[];
  countsOf(id: string): JobCounts;

  /** The execution that an earlier delivery with one of these keys began. */
  deliveryOf(id: string, keys: readonly string[]): string | null;
  recordDelivery(id: string, keys: readonly string[], executionId: string): void;
  forgetDeliveriesBefore(ms: number): void;
}

interface Row {
  id: string;
  name: string;
  definition: string;
  webhook_secret: string | null;
  revision: number;
  synced_revision: number;
  created_at: string;
  updated_at: string;
}

type Bindings = SQLQueryBindings[];

export function createJobs(database: Database, clock: { nowMs(): number; nowText(): string }): Jobs {
  const list = database.query<Row, []>('SELECT * FROM jobs ORDER BY name');
  const find = database.query<Row, [string]>('SELECT * FROM jobs WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC');
  const insert = database.query<Row, Bindings>(
    `INSERT INTO jobs (id, name, definition, webhook_secret, created_at, updated_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?5) RETURNING *`,
  );
  const replace = database.query<Row, Bindings>(
    `UPDATE jobs SET name = ?2, definition = ?3, webhook_secret = ?4, updated_at = ?5, revision = revision + 1
     WHERE id = ?1 RETURNING *`,
  );
  const remove = database.query<unknown, [string]>('DELETE FROM jobs WHERE id = ?');
  const addRemoval = database.query<unknown, [string]>('INSERT OR IGNORE INTO job_removals (job_id) VALUES (?)');
  const removeDeliveries = database.query<unknown, [string]>('DELETE FROM webhook_deliveries WHERE job_id = ?');
  const unsynced = database.query<{ id: string }, []>('SELECT id FROM jobs WHERE synced_revision <> revision');
  const synced = database.query<unknown, Bindings>('UPDATE jobs SET synced_revision = ? WHERE id = ?');
  const removals = database.query<{ job_id: string }, []>('SELECT job_id FROM job_removals');
  const forgetRemoval = database.query<unknown, [string]>('DELETE FROM job_removals WHERE job_id = ?');
  const write = (query: typeof insert, id: string, definition: JobDefinition, secret: string | null): JobRecord => {
    const row = query.get(id, definition.name, JSON.stringify(definition), secret, clock.nowText());
    if (row === null) throw new Error('the row that was just written is not there');
    return recordOf(row);
  };
  return {
    list: () => list.all().map(recordOf),
    find: (idOrName) => {
      const row = find.get(idOrName);
      return row === null ? null : recordOf(row);
    },
    insert: (id, definition, secret) => write(insert, id, definition, secret),
    replace: (id, definition, secret) => write(replace, id, definition, secret),
    delete: database.transaction((id: string) => {
      remove.run(id);
      removeDeliveries.run(id);
      addRemoval.run(id);
    }),
    unsynced: () => unsynced.all().map(({ id }) => id),
    markSynced: (id, revision) => void synced.run(revision, id),
    removals: () => removals.all().map(({ job_id: id }) => id),
    forgetRemoval: (id) => void forgetRemoval.run(id),
    ...createHistory(database),
    ...createDeliveries(database, clock),
  };
}

/** The execution's request names its job, so that both are one write. */
const jobOfExecution = "json_extract(request, '$.execution_metadata.job_id')";

function createHistory(database: Database): Pick<Jobs, 'executionsOf' | 'countsOf'> {
  const of = database.query<{ id: string }, [string, number, number]>(
    `SELECT id FROM executions WHERE ${jobOfExecution} = ? ORDER BY number DESC LIMIT ? OFFSET ?`,
  );
  const counts = database.query<{ total: number; successful: number; failed: number }, [string]>(
    `SELECT count(*) AS total, coalesce(sum(status = 'completed'), 0) AS successful,
       coalesce(sum(is_open = 0 AND status <> 'completed'), 0) AS failed FROM executions WHERE ${jobOfExecution} = ?`,
  );
  return {
    executionsOf: (id, { limit, skip }) => of.all(id, limit, skip).map((row) => row.id),
    countsOf: (id) => counts.get(id) ?? { total: 0, successful: 0, failed: 0 },
  };
}

function createDeliveries(
  database: Database,
  clock: { nowMs(): number },
): Pick<Jobs, 'deliveryOf' | 'recordDelivery' | 'forgetDeliveriesBefore'> {
  const of = database.query<{ execution_id: string }, [string, string]>(
    'SELECT execution_id FROM webhook_deliveries WHERE job_id = ? AND key = ?',
  );
  const add = database.query<unknown, Bindings>('INSERT OR REPLACE INTO webhook_deliveries VALUES (?, ?, ?, ?)');
  const forget = database.query<unknown, [number]>('DELETE FROM webhook_deliveries WHERE received_at_ms < ?');
  return {
    deliveryOf: (id, keys) =>
      keys.map((key) => of.get(id, key)?.execution_id ?? null).find((found) => found !== null) ?? null,
    recordDelivery: database.transaction((id: string, keys: readonly string[], executionId: string) => {
      for (const key of keys) add.run(id, key, executionId, clock.nowMs());
    }),
    forgetDeliveriesBefore: (ms) => void forget.run(ms),
  };
}

function recordOf(row: Row): JobRecord {
  return {
    id: row.id,
    // What we wrote ourselves.
    definition: JSON.parse(row.definition) as JobDefinition,
    webhookSecret: row.webhook_secret,
    revision: row.revision,
    isSynced: row.synced_revision === row.revision,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
