// Waiting between attempts: exponential with full jitter, and a sleep that a signal ends.

export interface BackoffOptions {
  /** Upper limit of the first wait. */
  readonly firstMs: number;
  /** No wait is longer. */
  readonly mostMs: number;
  /** In [0, 1); given by tests. */
  readonly random?: () => number;
}

/**
 * How long to wait after the given failed attempt (1 is the first): a random part of `firstMs · 2^(attempt - 1)`, so that
 * clients that failed together do not come back together.
 */
export function backoffDelayMs(attempt: number, options: BackoffOptions): number {
  const ceilingMs = Math.min(options.mostMs, options.firstMs * 2 ** Math.max(0, attempt - 1));
  return Math.floor((options.random ?? Math.random)() * ceilingMs);
}

/** Timers of JavaScript overflow above this and fire at once. */
const timerMsMax = 2 ** 31 - 1;

/** Resolves after `ms`; rejects with the signal's reason as soon as it aborts. Longer than 24 days waits 24 days. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(reasonOf(signal));
    };
    const timer = setTimeout(
      () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      },
      Math.min(ms, timerMsMax),
    );
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  });
}

function reasonOf(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason : new Error('aborted', { cause: reason });
}
