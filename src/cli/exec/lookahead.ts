// Events that may be read ahead of their turn: a question that stands on the screen must not hide that it has been answered elsewhere.

export interface Lookahead<T, R> {
  /** The next event in order, whether or not it was read ahead. */
  next(): Promise<IteratorResult<T, R>>;
  /** Reads ahead until an event fits, the end, or the signal. */
  watch(fits: (event: T) => boolean, signal: AbortSignal): Promise<void>;
}

/** While a person thinks; the server keeps the rest. */
const eventsAheadMax = 1_000;

export function createLookahead<T, R>(events: AsyncGenerator<T, R>): Lookahead<T, R> {
  const ahead: IteratorResult<T, R>[] = [];
  let reading: Promise<IteratorResult<T, R>> | undefined;
  /** One read at a time; one that failed is kept for whoever asks next in order. */
  const read = (): Promise<IteratorResult<T, R>> => (reading ??= events.next());
  return {
    next: async () => {
      const known = ahead.shift();
      if (known !== undefined) return known;
      const result = await read();
      reading = undefined;
      return result;
    },
    watch: async (fits, signal) => {
      const stopped = new Promise<undefined>((resolve) => {
        if (signal.aborted) resolve(undefined);
        signal.addEventListener('abort', () => resolve(undefined), { once: true });
      });
      while (ahead.length < eventsAheadMax) {
        const result = await Promise.race([stopped, read().catch(() => undefined)]);
        if (result === undefined || signal.aborted) return;
        reading = undefined;
        ahead.push(result);
        if (result.done === true || fits(result.value)) return;
      }
    },
  };
}
