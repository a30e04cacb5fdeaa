// The signals of one exec: before an execution exists the first one ends the start, afterwards its follower decides.

export interface Interrupts {
  /** Aborts on the first signal that no handler took. */
  readonly signal: AbortSignal;
  /** While set, gets every signal with its count since it was set. */
  setHandler(handler: ((count: number) => void) | undefined): void;
  dispose(): void;
}

export async function takeInterrupts(): Promise<Interrupts> {
  const { installSignals } = await import('../../processes/signals.ts');
  const controller = new AbortController();
  const signals = installSignals();
  let handler: ((count: number) => void) | undefined;
  let count = 0;
  signals.onSignal(() => {
    if (handler === undefined) return controller.abort();
    count += 1;
    handler(count);
  });
  return {
    signal: controller.signal,
    setHandler: (next) => {
      handler = next;
      count = 0;
    },
    dispose: () => signals.dispose(),
  };
}
