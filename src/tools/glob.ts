// File name patterns without backtracking: a hostile pattern costs pattern × name steps and cannot stall the worker.

/** `{a,b}{c,d}` multiplies; more alternatives than this are refused. */
const alternativesMax = 64;

/**
 * A matcher for `/`-separated paths: `*` and `?` stay within one name, `**` spans directories, `{a,b}` alternates,
 * `[…]` is a set. A pattern without a slash matches the last name of a path. Null when it has too many alternatives.
 */
export function createGlob(pattern: string): ((path: string) => boolean) | null {
  const alternatives = expandBraces(pattern);
  if (alternatives === null) return null;
  const lists = alternatives.map((alternative) => {
    const segments = alternative.replace(/^\.?\/+/, '').split('/');
    return segments.length === 1 ? ['**'].concat(segments) : segments;
  });
  return (path) => {
    const names = path.split('/');
    return lists.some((segments) => matchSequence(segments, names, (segment) => segment === '**', matchName));
  };
}

/** Whether a whole name matches a pattern of `*`, `?` and `[…]`. */
export function matchName(pattern: string, name: string): boolean {
  const parts = pattern.match(/\[!?\]?[^\]]*\]|[\s\S]/gu) ?? [];
  return matchSequence(parts, Array.from(name), (part) => part === '*', matchCharacter);
}

function matchCharacter(part: string, character: string): boolean {
  if (part === '?') return true;
  if (part.length < 3 || !part.startsWith('[')) return part === character;
  const isNegated = part[1] === '!';
  const set = part.slice(isNegated ? 2 : 1, -1);
  let isIn = false;
  for (const [range, from, to] of set.matchAll(/([\s\S])-([\s\S])|[\s\S]/gu)) {
    isIn ||= from !== undefined && to !== undefined ? from <= character && character <= to : range === character;
  }
  return isIn !== isNegated;
}

/** Greedy matching of a sequence with one kind of wildcard; going back to the last wildcard only is enough. */
function matchSequence<TItem>(
  pattern: readonly string[],
  items: readonly TItem[],
  isWildcard: (part: string) => boolean,
  matches: (part: string, item: TItem) => boolean,
): boolean {
  let part = 0;
  let item = 0;
  let lastWildcard = -1;
  let resumeAt = 0;
  while (item < items.length) {
    const current = pattern[part];
    const value = items[item];
    if (current !== undefined && isWildcard(current)) {
      lastWildcard = part;
      resumeAt = item;
      part += 1;
    } else if (current !== undefined && value !== undefined && matches(current, value)) {
      part += 1;
      item += 1;
    } else if (lastWildcard === -1) {
      return false;
    } else {
      part = lastWildcard + 1;
      resumeAt += 1;
      item = resumeAt;
    }
  }
  return pattern.slice(part).every(isWildcard);
}

function expandBraces(pattern: string): string[] | null {
  const done: string[] = [];
  const open = [pattern];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const match = /^([^{]*)\{([^{}]*)\}([\s\S]*)$/.exec(next);
    if (match === null) done.push(next);
    else for (const choice of (match[2] ?? '').split(',')) open.push(`${match[1] ?? ''}${choice}${match[3] ?? ''}`);
    if (done.length + open.length > alternativesMax) return null;
  }
  return done;
}
