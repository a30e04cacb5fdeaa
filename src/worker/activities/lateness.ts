// Tells an attempt that reached this worker too late from one of a Temporal whose clock is another.

/** What came while a process stood still reaches it within this, once it goes on. */
const burstMs = 1_000;
/** A clock that has jumped is noticed by the attempts that are made again at once; what is late long after that is another matter. */
const jumpMs = 30_000;

/**
 * Delays are from Temporal's clock to ours, so only what is above the usual one counts. Attempts that go on to be late for more
 * than a burst say that our clock has jumped: theirs is the usual delay then. `usualMs`: 0 where both clocks are the same,
 * undefined where the first attempt has to tell. `elapsed` is a monotonic clock in milliseconds.
 */
export function createLateness(
  usualMs: number | undefined,
  elapsed: () => number,
): (delayMs: number, staleAfterMs: number) => boolean {
  let usual = usualMs;
  let lateAtMs: number | undefined;
  return (delayMs, staleAfterMs) => {
    const isLate = usual !== undefined && delayMs - usual > staleAfterMs;
    const lateForMs = lateAtMs === undefined ? 0 : elapsed() - lateAtMs;
    if (isLate && lateForMs > burstMs && lateForMs < jumpMs) {
      usual = delayMs;
      lateAtMs = undefined;
      return false;
    }
    if (isLate) {
      if (lateForMs === 0 || lateForMs >= jumpMs) lateAtMs = elapsed();
      return true;
    }
    usual = Math.min(usual ?? delayMs, delayMs);
    lateAtMs = undefined;
    return false;
  };
}
