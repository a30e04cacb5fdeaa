// Retention: what is old or too many goes, what is open stays. Queries of every round and page do not read large rows.
import { expect, test } from 'bun:test';
import { Database } from 'bun:sqlite';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../src/lib/clock.ts';
import { expireDue } from '../../../src/server/approvals.ts';
import { openDatabase } from '../../../src/server/store/database.ts';
import { renderPrompt } from '../../../src/server/prompt-template.ts';
import { createExecutions } from '../../../src/server/store/executions.ts';
import { migrations } from '../../../src/server/store/migrations.ts';
import { openStore } from '../../../src/server/store/store.ts';

test('ended executions go by age and by number, with their events; open ones stay', () => {
  let now = Date.parse('2026-01-01T00:00:00Z');
  const store = openStore(':memory:', { now: () => now });
  const insert = (id: string) => {
    const workflowInput = { execution_id: id, agent_id: 'a', organization_id: '', prompt: 'x' };
    const request = { prompt: 'x' };
    return store.executions.insert({
      id,
      entityId: 'a',
      entityName: 'a',
      queueId: 'q',
      request,
      workflowInput,
      idempotencyKey: id,
      requestHash: 'h',
    });
  };
  const records = ['old', 'open', 'middle', 'new', 'newest'].map((id) => {
    now += 60_000;
    return insert(id);
  });
  let endOfOld = '';
  for (const record of records) {
    now += 60_000;
    store.events.append(record.number, [{ event_id: 'e', event_type: 'notice', data: {}, timestamp: 't' }]);
    store.executions.saveSession(record.number, { sessionId: 's', messages: [], metadata: {} });
    if (record.id !== 'open') store.executions.change(record, { status: 'completed' });
    endOfOld ||= new Date(now).toISOString();
  }
  const nothing = '2000-01-01T00:00:00Z';
  const numbersOf = (...ids: string[]) => records.filter(({ id }) => ids.includes(id)).map(({ number }) => number);
  expect(store.executions.expired({ before: nothing, keep: 100, limit: 10 })).toEqual([]);
  // Kept from their end on: one that ran for long is not gone the moment it ends.
  expect(store.executions.expired({ before: endOfOld, keep: 100, limit: 10 })).toEqual([]);
  const later = new Date(Date.parse(endOfOld) + 1).toISOString();
  expect(store.executions.expired({ before: later, keep: 100, limit: 10 })).toEqual(numbersOf('old'));
  expect(store.executions.expired({ before: nothing, keep: 2, limit: 10 })).toEqual(numbersOf('old', 'middle'));
  expect(store.executions.expired({ before: nothing, keep: 2, limit: 1 })).toEqual(numbersOf('old'));
  for (const number of numbersOf('old')) store.executions.delete(number);
  expect(store.executions.find('old')).toBeNull();
  expect(store.events.count(records[0]?.number ?? 0)).toBe(0);
  expect(store.executions.findSession(records[0]?.number ?? 0)).toBeNull();
  expect(store.executions.openCount()).toBe(1);
  // A number is never used twice: events of a deleted execution cannot become another's.
  expect(insert('after').number).toBeGreaterThan(records.at(-1)?.number ?? 0);
  store.close();
});

test('what has expired and the executions of teams are found without reading the rows', () => {
  const database = openDatabase(':memory:');
  const executions = createExecutions(database, { nowMs: () => 0, nowText: () => '2026-01-01T00:00:00Z' });
  const prompt = 'x'.repeat(40_000);
  database.transaction(() => {
    for (let index = 0; index < 1_000; index += 1) {
      const id = `e${index}`;
      const ids = { id, entityId: 'a', entityName: 'a', queueId: 'q', idempotencyKey: null, requestHash: '' };
      const workflowInput = { execution_id: id, agent_id: 'a', organization_id: '', prompt };
      executions.change(executions.insert({ ...ids, request: { prompt }, workflowInput }), { status: 'completed' });
    }
  })();
  const fastest = (run: () => unknown): number => {
    const times = Array.from({ length: 5 }, () => {
      const start = performance.now();
      run();
      return performance.now() - start;
    });
    return Math.min(...times);
  };
  const everyRow = fastest(() => database.query("SELECT count(*) FROM executions WHERE updated_at = ''").get());
  const retention = { before: '2000-01-01T00:00:00Z', keep: 10_000, limit: 50 };
  expect(fastest(() => executions.expired(retention))).toBeLessThan(everyRow / 3);
  const teams = { skip: 0, limit: 50, entityType: 'team' } as const;
  expect(fastest(() => executions.list(teams))).toBeLessThan(everyRow / 3);
});

test('a database of an older release keeps what is in it, by whichever step it was left', () => {
  const applicationId = 0x4b_42_59_41;
  const directory = mkdtempSync(join(tmpdir(), 'kubiya-migration-'));
  for (const version of migrations.keys()) {
    const path = join(directory, `${version}.sqlite`);
    const old = new Database(path);
    for (const step of migrations.slice(0, version + 1)) old.run(step);
    old.run(`PRAGMA user_version = ${version + 1}`);
    old.run(`PRAGMA application_id = ${applicationId}`);
    const insert = (input: Record<string, unknown>): void =>
      void old.run(
        `INSERT INTO executions (id, entity_id, entity_name, queue_id, status, prompt, request, workflow_input, request_hash,
           is_open, created_at, updated_at)
         VALUES (?, 'x', 'x', 'q', 'completed', 'x', '{}', ?, '', 0, '2026-01-01', '2026-01-01')`,
        [String(input['execution_id']), JSON.stringify({ ...input, organization_id: '', prompt: 'x' })],
      );
    insert({ execution_id: 'e', team_id: 't' });
    // Deeper than SQLite reads; nothing that a server takes today, and the last step is behind it.
    const deep: unknown = JSON.parse(`${'['.repeat(1_100)}${']'.repeat(1_100)}`);
    const isRead = version === migrations.length - 1;
    if (!isRead) insert({ execution_id: 'deep', agent_id: 'a', agent_config: { deep } });
    old.close();
    const store = openStore(path, { now: () => 0 });
    const [found] = store.executions.list({ skip: 0, limit: 10, entityType: 'team' });
    expect(found).toMatchObject({ id: 'e', workflowId: 'team-execution-e' });
    expect(store.executions.list({ skip: 0, limit: 10, entityType: 'agent' })).toHaveLength(isRead ? 0 : 1);
    expect(store.executions.expired({ before: '2026-02-01', keep: 10, limit: 10 })).toHaveLength(isRead ? 1 : 2);
    expect(store.jobs.list()).toEqual([]);
    store.close();
  }
  rmSync(directory, { recursive: true });
});

test('a large body that a prompt names thousands of times is refused, not put together', () => {
  const rendered = renderPrompt('{{.body}}'.repeat(20_000), 'x'.repeat(900_000));
  expect(rendered).toMatchObject({ ok: false, problem: expect.stringContaining('longer than') });
});

test('however many approvals expire at once, none of them can be given afterwards', () => {
  const store = openStore(':memory:', systemClock);
  const ids = { id: 'e', entityId: 'a', entityName: 'a', queueId: 'q', idempotencyKey: null, requestHash: '' };
  const workflowInput = { execution_id: 'e', agent_id: 'a', organization_id: '', prompt: 'x' };
  const { number } = store.executions.insert({ ...ids, request: { prompt: 'x' }, workflowInput });
  for (let index = 0; index < 450; index += 1) store.approvals.insert(number, { execution_id: 'e', title: 't' }, index);
  expireDue({ store, clock: { ...systemClock, now: () => 449 } });
  expect(store.approvals.list({ status: 'pending', limit: 10 })).toEqual([]);
  store.close();
});
