// The signals of one exec: before an execution exists the first one ends the start, afterwards its followers decide.

export interface Interrupts {
  /** Aborts on the first signal that no handler took. */
  readonly signal: AbortSignal;
  /** Until it is removed, gets every signal with its count since it was added. Returns what removes it. */
  addHandler(handler: (count: number) => void): () => void;
  dispose(): void;
}

export async function takeInterrupts(): Promise<Interrupts> {
  const { installSignals } = await import('../../processes/signals.ts');
  const controller = new AbortController();
  const signals = installSignals();
  const handlers = new Set<() => void>();
  signals.onSignal(() => {
    if (handlers.size === 0) return controller.abort();
    for (const handle of handlers) handle();
  });
  return {
    signal: controller.signal,
    addHandler: (handler) => {
      let count = 0;
      const handle = (): void => {
        count += 1;
        handler(count);
      };
      handlers.add(handle);
      return () => void handlers.delete(handle);
    },
    dispose: () => signals.dispose(),
  };
}
