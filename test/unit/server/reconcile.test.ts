// The reconciler with more open executions than one round looks at: none is forgotten behind those that wait or cannot be read.
import { expect, test } from 'bun:test';
import { systemClock } from '../../../src/lib/clock.ts';
import type { ServerDeps } from '../../../src/server/deps.ts';
import { createEventLog } from '../../../src/server/events.ts';
import { createReconciler } from '../../../src/server/reconcile.ts';
import { openStore } from '../../../src/server/store/store.ts';
import { TemporalError, type Temporal } from '../../../src/server/temporal.ts';
import { quietLog } from '../../server/support.ts';
import { until } from '../tools/support.ts';

test('an execution behind hundreds that wait is started all the same', async () => {
  const store = openStore(':memory:', systemClock);
  const insert = (id: string) => {
    const workflowInput = { execution_id: id, agent_id: 'a', organization_id: '', prompt: 'x' };
    const names = { id, entityId: 'a', entityName: 'a', queueId: 'q', requestHash: 'h' };
    store.executions.insert({ ...names, request: { prompt: 'x' }, workflowInput, idempotencyKey: null });
  };
  for (let index = 0; index < 250; index += 1) {
    insert(`waiting-${index}`);
    store.executions.markStarted(`waiting-${index}`);
  }
  insert('last');
  const started: string[] = [];
  const nothing = () => Promise.resolve();
  const temporal: Temporal = {
    start: async ({ execution_id }) => void started.push(execution_id),
    describe: async (id) => {
      if (id === 'waiting-201') throw new TemporalError('refused', 'its result cannot be read');
      return { kind: 'open' };
    },
    signal: nothing,
    cancel: nothing,
    terminate: nothing,
    release: nothing,
    inspect: () => Promise.reject(new TemporalError('unavailable', 'not asked')),
    schedules: { apply: nothing, remove: nothing, find: () => Promise.resolve(null), list: () => Promise.resolve([]) },
    openBefore: () => Promise.resolve([]),
    close: nothing,
  };
  const parts = { store, events: createEventLog(store), temporal, log: quietLog, clock: systemClock };
  const reconciler = createReconciler({
    ...parts,
    registration: {
      temporalAddress: '',
      temporalNamespace: '',
      temporalApiKey: '',
      hasTemporalTls: false,
      isLocal: true,
      signingKey: '',
    },
    token: '',
    databases: [],
    version: '0',
    instanceId: 'a-test',
    wake: () => undefined,
    syncJob: () => Promise.resolve(),
    stopping: new AbortController().signal,
  } satisfies ServerDeps);
  reconciler.wake();
  try {
    await until(() => started.includes('last'), 8_000);
  } finally {
    await reconciler.stop();
    store.close();
  }
  expect(started).toEqual(['last']);
}, 15_000);
