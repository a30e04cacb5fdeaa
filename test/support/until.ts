// Waits for something to become true, and says what did not when the limit is over.

export interface UntilOptions {
  readonly limitMs?: number;
  readonly intervalMs?: number;
  /** Completes the sentence "it did not come true that …". */
  readonly what?: () => string;
}

export async function until(condition: () => boolean | Promise<boolean>, options: UntilOptions = {}): Promise<void> {
  const { limitMs = 30_000, intervalMs = 20, what = () => condition.toString() } = options;
  const startMs = performance.now();
  while (!(await condition())) {
    if (performance.now() - startMs > limitMs) throw new Error(`not true within ${limitMs} ms: ${what()}`);
    await new Promise((done) => setTimeout(done, intervalMs));
  }
}
