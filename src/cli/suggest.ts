// "Did you mean": the nearest word, when it is near enough to be meant.
import { distance } from 'fastest-levenshtein';

/** A swap of two letters counts two, so that `strat` finds `start`; a short word may only differ by one. */
function distanceMax(word: string): number {
  return word.length <= 3 ? 1 : Math.max(2, Math.floor(word.length / 3));
}

export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = distanceMax(word) + 1;
  for (const candidate of candidates) {
    const candidateDistance = distance(word.toLowerCase(), candidate.toLowerCase());
    if (candidateDistance < bestDistance) {
      best = candidate;
      bestDistance = candidateDistance;
    }
  }
  return best;
}

/** The hint of an error about a word: the near one, else `otherwise`. */
export function suggestion(
  word: string,
  candidates: readonly string[],
  otherwise?: string,
  prefix = '',
): string | undefined {
  const found = nearest(word, candidates);
  return found === undefined ? otherwise : `did you mean ${prefix}${found}?`;
}
