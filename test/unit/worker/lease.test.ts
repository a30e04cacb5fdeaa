// Who holds a workspace: what the control plane's list, and without it Temporal, say of the worker that does not take its calls.
import { expect, test } from 'bun:test';
import { createLookAtLease, ownLease } from '../../../src/worker/activities/lease.ts';
import type { Session, WorkerDeps } from '../../../src/worker/deps.ts';

type Deps = Pick<WorkerDeps, 'controlPlane' | 'publisher' | 'clock' | 'log'>;
type Listed = readonly { readonly journal_id?: string | null }[] | 'no answer';

const session = { queueId: 'q', taskQueue: 'q', journalId: 'ours' } as Session;
const holder = { taskQueue: 'q:theirs', journalId: 'theirs' };
const polledJustNow = 1_000;
const notPolledForMinutes = 200_000;

async function look(listed: Listed, pollAgeMs: number | 'no answer', lease = holder) {
  const notices: string[] = [];
  const asked: string[] = [];
  const quiet = (): void => undefined;
  const deps = {
    controlPlane: {
      listPresentQueueWorkers: () =>
        listed === 'no answer' ? Promise.reject(new Error('away')) : Promise.resolve(listed),
    },
    publisher: { publish: (_id: string, { data }: { data: { code: string } }) => void notices.push(data.code) },
    clock: { now: () => 0 },
    log: { warn: quiet, debug: quiet },
  } as unknown as Deps;
  const lookAtLease = createLookAtLease(session, deps, (taskQueue) => {
    asked.push(taskQueue);
    return pollAgeMs === 'no answer' ? Promise.reject(new Error('away')) : Promise.resolve(pollAgeMs);
  });
  const after = await lookAtLease({ executionId: 'e', callId: 'e:1:0', lease });
  return { hasMoved: after.journalId !== lease.journalId, after, notices, asked };
}

const ours = { journal_id: 'ours' };
const theirs = { journal_id: 'theirs' };
const nameless = { journal_id: null };

test('a control plane that names journals decides alone', async () => {
  expect(await look([ours, theirs], notPolledForMinutes)).toMatchObject({ hasMoved: false, asked: [] });
  // Temporal remembers the last poll of a killed worker for minutes.
  const moved = await look([ours, { journal_id: 'another' }], polledJustNow);
  expect(moved).toMatchObject({ after: ownLease(session), notices: ['lease_moved'], asked: [] });
  expect(moved.after).toEqual({ taskQueue: 'q:ours', journalId: 'ours' });
});

test('without names Temporal is asked who polls the queue of the holder', async () => {
  for (const listed of [[nameless, nameless], [], 'no answer'] as const) {
    expect(await look(listed, polledJustNow)).toMatchObject({ hasMoved: false, notices: [], asked: ['q:theirs'] });
    expect(await look(listed, notPolledForMinutes)).toMatchObject({ hasMoved: true, notices: ['lease_moved'] });
    expect(await look(listed, Number.POSITIVE_INFINITY)).toMatchObject({ hasMoved: true });
  }
});

test('as long as nobody knows, the holder counts as alive', async () => {
  expect(await look('no answer', 'no answer')).toMatchObject({ hasMoved: false, notices: [] });
});

test('a worker never takes a lease from itself', async () => {
  const own = ownLease(session);
  expect(await look([theirs], notPolledForMinutes, own)).toMatchObject({ hasMoved: false, after: own, asked: [] });
});
