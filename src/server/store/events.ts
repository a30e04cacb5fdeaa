// The event log of every execution: numbered without gaps, each event id once.
import type { Database, SQLQueryBindings } from 'bun:sqlite';
import type { WireEvent } from '../../protocol/events.ts';

export interface EventRow {
  readonly sequence: number;
  readonly eventId: string;
  readonly eventType: string;
  /** JSON on one line. */
  readonly data: string;
  readonly timestamp: string;
  readonly storedAtMicros: number;
}

export interface Events {
  /** Numbers and stores what is new; to be called inside a transaction. */
  append(execution: number, events: readonly WireEvent[]): { accepted: number; duplicates: number };
  /** At most `limit`, and no more than about `pageBytesMax`: only an empty page is the end. */
  after(execution: number, sequence: number, limit: number): EventRow[];
  /** Null when there is none. */
  at(execution: number, sequence: number): EventRow | null;
  count(execution: number): number;
  /** Those whose id begins so. */
  countWith(execution: number, idPrefix: string): number;
  /** The last event of an execution that has ended. */
  done(execution: number): EventRow | null;
}

interface Row {
  sequence: number;
  event_id: string;
  event_type: string;
  data: string;
  timestamp: string;
  stored_at_micros: number;
}

/** What a reader holds in memory at once; one event may be as large as this. */
const pageBytesMax = 1_000_000;

export function createEvents(database: Database, clock: { nowMs(): number }): Events {
  const columns = 'sequence, event_id, event_type, data, timestamp, stored_at_micros';
  const last = database.query<{ sequence: number | null }, [number]>(
    'SELECT max(sequence) AS sequence FROM events WHERE execution = ?',
  );
  const insert = database.query<unknown, SQLQueryBindings[]>(
    `INSERT INTO events (execution, ${columns}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (execution, event_id) DO NOTHING`,
  );
  const after = database.query<Row, [number, number, number]>(
    `SELECT ${columns} FROM events WHERE execution = ? AND sequence > ? ORDER BY sequence LIMIT ?`,
  );
  const at = database.query<Row, [number, number]>(
    `SELECT ${columns} FROM events WHERE execution = ? AND sequence = ?`,
  );
  const withPrefix = database.query<{ count: number }, [number, string, string]>(
    'SELECT count(*) AS count FROM events WHERE execution = ? AND event_id >= ? AND event_id < ?',
  );
  const done = database.query<Row, [number]>(
    `SELECT ${columns} FROM events WHERE execution = ? AND event_type = 'done' ORDER BY sequence DESC LIMIT 1`,
  );
  const maybe = (row: Row | null): EventRow | null => (row === null ? null : rowOf(row));
  const lastSequence = (execution: number): number => last.get(execution)?.sequence ?? 0;
  return {
    append: (execution, events) => {
      const before = lastSequence(execution);
      let sequence = before;
      const storedAtMicros = clock.nowMs() * 1000;
      for (const { event_id: id, event_type: type, data, timestamp } of events) {
        const fields = [id, type, JSON.stringify(data), timestamp, storedAtMicros + sequence - before];
        if (insert.run(execution, sequence + 1, ...fields).changes > 0) sequence += 1;
      }
      const accepted = sequence - before;
      return { accepted, duplicates: events.length - accepted };
    },
    after: (execution, sequence, limit) => {
      const page: EventRow[] = [];
      let bytes = 0;
      for (const row of after.iterate(execution, sequence, limit)) {
        page.push(rowOf(row));
        bytes += row.data.length;
        if (bytes >= pageBytesMax) break;
      }
      return page;
    },
    at: (execution, sequence) => maybe(at.get(execution, sequence)),
    done: (execution) => maybe(done.get(execution)),
    // Numbers have no gaps.
    count: lastSequence,
    countWith: (execution, idPrefix) => withPrefix.get(execution, idPrefix, endOfPrefix(idPrefix))?.count ?? 0,
  };
}

/** The first text behind all that begin with the prefix, in the order of SQLite. */
function endOfPrefix(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

function rowOf(row: Row): EventRow {
  return {
    sequence: row.sequence,
    eventId: row.event_id,
    eventType: row.event_type,
    data: row.data,
    timestamp: row.timestamp,
    storedAtMicros: row.stored_at_micros,
  };
}
