// A stream reads the log only as fast as its client takes it.
import { expect, test } from 'bun:test';
import { systemClock } from '../../../src/lib/clock.ts';
import { createEventLog } from '../../../src/server/events.ts';
import { openStore } from '../../../src/server/store/store.ts';
import { streamExecution } from '../../../src/server/stream.ts';

test('a client that does not read makes the server read no more than it can hold', async () => {
  const store = openStore(':memory:', systemClock);
  const workflowInput = { execution_id: 'e', agent_id: 'a', organization_id: '', prompt: 'x' };
  const row = { id: 'e', entityId: 'a', entityName: 'a', queueId: 'q', request: { prompt: 'x' }, workflowInput };
  const execution = store.executions.insert({ ...row, idempotencyKey: null, requestHash: 'h' });
  const event = (index: number) => ({ event_id: `${index}`, event_type: 'notice', data: {}, timestamp: 't' });
  store.events.append(
    execution.number,
    Array.from({ length: 5_000 }, (_, index) => event(index)),
  );
  let rowsRead = 0;
  const counting = {
    ...store,
    events: {
      ...store.events,
      after: (...place: Parameters<typeof store.events.after>) => {
        const rows = store.events.after(...place);
        rowsRead += rows.length;
        return rows;
      },
    },
  };
  const events = createEventLog(store);
  const leaving = new AbortController();
  const deps = { store: counting, events, clock: systemClock, stopping: new AbortController().signal };
  const { body } = streamExecution(deps, execution, undefined, leaving.signal);
  if (body === null) throw new Error('the stream has no body');
  await Bun.sleep(50);
  expect(rowsRead).toBeLessThanOrEqual(100);

  const reader = body.getReader();
  let frames = 0;
  while (frames < 5_000) {
    const text = new TextDecoder().decode((await reader.read()).value);
    frames += text.split('\nevent: notice').length - 1;
    expect(rowsRead - frames).toBeLessThanOrEqual(200);
  }
  expect(events.subscriberCount).toBe(1);
  await reader.cancel();
  expect(events.subscriberCount).toBe(0);
  store.close();
});
