// Random numbers of a seed that is printed, so that a failing run can be drawn again.

/** From KUBIYA_TEST_SEED, else a new one. */
export function testSeed(): number {
  const given = Number(process.env['KUBIYA_TEST_SEED']);
  return Number.isSafeInteger(given) && given > 0 ? given : 1 + Math.floor(Math.random() * 1_000_000_000);
}

/** Mulberry32: in [0, 1), small and good enough to spread kills over time. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
