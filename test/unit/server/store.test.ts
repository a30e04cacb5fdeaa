// Retention: what is old or too many goes, what is open stays.
import { expect, test } from 'bun:test';
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
