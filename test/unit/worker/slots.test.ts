// The budget of slots that two task queues share: neither starves, and what runs on one is missing on the other.
import { expect, test } from 'bun:test';
import type { ActivitySlotInfo, CustomSlotSupplier, SlotPermit, SlotReserveContext } from '@temporalio/worker';
import { createSlotBudget } from '../../../src/worker/slots.ts';

type Supplier = CustomSlotSupplier<ActivitySlotInfo>;
const context = {
  slotType: 'activity',
  taskQueue: 'any',
  workerIdentity: 'any',
  isSticky: false,
} as SlotReserveContext;
const slotInfo = { type: 'activity', activityType: 'callTool' } as const;
const never = new AbortController().signal;

function use(supplier: Supplier): SlotPermit {
  const permit = supplier.tryReserveSlot(context);
  if (permit === null) throw new Error('there is no slot');
  supplier.markSlotUsed({ permit, slotInfo });
  return permit;
}
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  await Bun.sleep(0);
  return (await Promise.race([promise, pending])) !== pending;
}

test('one queue alone has the whole budget, and no more', async () => {
  const shared = createSlotBudget(3).forQueue();
  for (let n = 0; n < 3; n += 1) use(shared);
  expect(shared.tryReserveSlot(context)).toBeNull();
});

test('a poller of one queue that holds its reservation for ever does not starve the other', async () => {
  const budget = createSlotBudget(1);
  const [shared, own] = [budget.forQueue(), budget.forQueue()];
  await shared.reserveSlot(context, never);
  const permit = await own.reserveSlot(context, never);
  own.markSlotUsed({ permit, slotInfo });
  // Full now: the next reservation of either waits for the end of what runs.
  const next = own.reserveSlot(context, never);
  expect(await isSettled(next)).toBe(false);
  own.releaseSlot({ permit, slotInfo });
  expect(await isSettled(next)).toBe(true);
});

test('what runs on one queue is missing on the other, until it ends', async () => {
  const budget = createSlotBudget(2);
  const [shared, own] = [budget.forQueue(), budget.forQueue()];
  const permits = [use(own), use(own)];
  const waiting = shared.reserveSlot(context, never);
  expect(shared.tryReserveSlot(context)).toBeNull();
  expect(await isSettled(waiting)).toBe(false);
  own.releaseSlot({ permit: permits[0] ?? {}, slotInfo });
  expect(await isSettled(waiting)).toBe(true);
});

test('a reservation that is given back or not wanted any more goes to the next', async () => {
  const shared = createSlotBudget(1).forQueue();
  const permit = await shared.reserveSlot(context, never);
  const unwanted = new AbortController();
  const first = shared.reserveSlot(context, unwanted.signal);
  const second = shared.reserveSlot(context, never);
  unwanted.abort();
  await expect(first).rejects.toHaveProperty('name', 'AbortError');
  shared.releaseSlot({ permit });
  expect(await isSettled(second)).toBe(true);
});
