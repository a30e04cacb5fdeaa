// One budget of activity slots for the two task queues of a worker, so that MAX_CONCURRENT_ACTIVITIES counts both.
import type { ActivitySlotInfo, CustomSlotSupplier, SlotPermit } from '@temporalio/worker';

/**
 * A slot is reserved before a task is asked for, so each queue needs some of its own, or the one that waits would starve the
 * other. A queue may reserve while its own reservations and everything that runs fit: alone it has the whole budget. When the
 * budget is full, tasks may still come to what the other queue had reserved (two pollers locally); those wait in the registry of
 * calls, which never runs more than the budget.
 */
export function createSlotBudget(slotsMax: number): { forQueue(): CustomSlotSupplier<ActivitySlotInfo> } {
  const used = new Set<SlotPermit>();
  const queues: QueueSlots[] = [];
  const admitAll = (): void => queues.forEach((queue) => queue.admit());
  return {
    forQueue: () => {
      const queue = createQueueSlots(() => slotsMax - used.size);
      queues.push(queue);
      return {
        type: 'custom',
        reserveSlot: (_context, signal) => queue.reserve(signal),
        tryReserveSlot: () => queue.tryReserve(),
        markSlotUsed: ({ permit }) => {
          queue.reserved.delete(permit);
          used.add(permit);
        },
        releaseSlot: ({ permit }) => {
          queue.reserved.delete(permit);
          used.delete(permit);
          admitAll();
        },
      };
    },
  };
}

interface QueueSlots {
  readonly reserved: Set<SlotPermit>;
  tryReserve(): SlotPermit | null;
  reserve(signal: AbortSignal): Promise<SlotPermit>;
  /** Grants what waits and now fits. */
  admit(): void;
}

function createQueueSlots(freeSlots: () => number): QueueSlots {
  const reserved = new Set<SlotPermit>();
  const waiting = new Set<(permit: SlotPermit) => void>();
  const tryReserve = (): SlotPermit | null => {
    if (reserved.size >= freeSlots()) return null;
    const permit: SlotPermit = {};
    reserved.add(permit);
    return permit;
  };
  return {
    reserved,
    tryReserve,
    reserve: (signal) =>
      new Promise((resolve, reject) => {
        const permit = tryReserve();
        if (permit !== null) {
          resolve(permit);
          return;
        }
        waiting.add(resolve);
        signal.addEventListener('abort', () => {
          if (waiting.delete(resolve)) reject(new DOMException('The slot is not needed any more', 'AbortError'));
        });
      }),
    admit: () => {
      for (const grant of waiting) {
        const permit = tryReserve();
        if (permit === null) return;
        waiting.delete(grant);
        grant(permit);
      }
    },
  };
}
