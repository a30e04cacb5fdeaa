// Text inside Mermaid source: made harmless, so that a label is a label and never syntax.

/** In double quotes, with line breaks. */
export function quoted(text: string): string {
  return `"${text
    .replaceAll('#', '#35;')
    .replaceAll('%', '#37;')
    .replaceAll('"', '#quot;')
    .replaceAll('<', '#lt;')
    .replaceAll('>', '#gt;')
    .replaceAll(/\s*\n\s*/g, '<br/>')}"`;
}

/** Where Mermaid takes the rest of a line, up to a colon or a semicolon. */
export function plain(text: string): string {
  return text
    .replaceAll(/\s+/g, ' ')
    .trim()
    .replaceAll(/[#:;,%<>{}"]/g, (character) => `#${character.charCodeAt(0)};`);
}

/** Names of classes, tables and branches become words that Mermaid takes as they are; different names stay different. */
export function createNames(): (name: string) => string {
  const known = new Map<string, string>();
  return (name) => {
    const existing = known.get(name);
    if (existing !== undefined) return existing;
    const word = name.replaceAll(/[^A-Za-z0-9_]/g, '_').replace(/^([^A-Za-z])/, 'n$1');
    // `end` and the like are keywords in some diagrams.
    const base =
      /^(end|class|state|note|graph|subgraph|style|default|click|main)$/i.test(word) && word !== 'main'
        ? `${word}_`
        : word;
    let unique = base;
    for (let count = 2; [...known.values()].includes(unique); count += 1) unique = `${base}_${count}`;
    known.set(name, unique);
    return unique;
  };
}
