// A queue with a limit between one who produces and one who waits.

export interface BoundedQueueOptions {
  readonly itemsMax: number;
  /** What happens to an item too many: the new one is refused, or the oldest is dropped. */
  readonly whenFull: 'refuse' | 'drop_oldest';
}

export interface BoundedQueue<Item> {
  readonly size: number;
  /** Items that were refused or dropped. */
  readonly itemsLost: number;
  /** False when the queue is full and refuses, or is closed. */
  push(item: Item): boolean;
  /** The next item; undefined when the queue is closed and empty, or the signal aborts. One waiter at a time. */
  take(signal?: AbortSignal): Promise<Item | undefined>;
  /** No more items; what is inside can still be taken. */
  close(): void;
}

export function createBoundedQueue<Item>(options: BoundedQueueOptions): BoundedQueue<Item> {
  let items: Item[] = [];
  let first = 0; // index of the oldest item: shift() of a long array is linear
  let itemsLost = 0;
  let isClosed = false;
  let wake: (() => void) | undefined;

  const size = (): number => items.length - first;
  const removeFirst = (): Item | undefined => {
    const item = items[first];
    first += 1;
    if (first * 2 > items.length) {
      items = items.slice(first);
      first = 0;
    }
    return item;
  };
  return {
    get size() {
      return size();
    },
    get itemsLost() {
      return itemsLost;
    },
    push: (item) => {
      if (isClosed) return false;
      if (size() >= options.itemsMax) {
        itemsLost += 1;
        if (options.whenFull === 'refuse') return false;
        removeFirst();
      }
      items.push(item);
      wake?.();
      return true;
    },
    take: async (signal) => {
      while (size() === 0) {
        if (isClosed || signal?.aborted === true) return undefined;
        await new Promise<void>((resolve) => {
          wake = () => {
            signal?.removeEventListener('abort', resolveOnAbort);
            resolve();
          };
          const resolveOnAbort = wake;
          signal?.addEventListener('abort', resolveOnAbort, { once: true });
        });
        wake = undefined;
      }
      return removeFirst();
    },
    close: () => {
      isClosed = true;
      wake?.();
    },
  };
}
