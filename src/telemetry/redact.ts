// Removes registered secrets, in every form in which they may appear, from logs, tool output and model text.

export interface Redactor {
  /** Adds a secret; shorter than 6 characters is ignored, because it would tear ordinary words apart. */
  register(secret: string): void;
  /** For a complete text: a log record, a tool result. */
  redact(text: string): string;
  /** For text that comes in pieces. Together the pieces read as `redact` of the whole. */
  createStream(): RedactionStream;
}

export interface RedactionStream {
  /** Holds back what may be the start of a secret: never more than the longest form of one. */
  push(chunk: string): string;
  /** What was held back; call it at the end. */
  flush(): string;
}

export const redactionMask = '[redacted]';
/** Shorter secrets, and shorter pieces of one, also occur by chance in ordinary text. */
const secretLengthMin = 6;

/** The forms of all secrets, compiled: rebuilt when a secret is registered. */
interface Forms {
  /** One alternation, longest first; undefined while there is no secret. */
  readonly pattern: RegExp | undefined;
  readonly byFirstCharacter: ReadonlyMap<string, readonly string[]>;
  readonly lengthMax: number;
}

/** What masking gives: the text, and how far the last masked part reaches beyond `until`. */
interface Masked {
  readonly text: string;
  readonly overhang: number;
}

export function createRedactor(): Redactor {
  const all = new Set<string>();
  let forms = compile(all);
  return {
    register: (secret) => {
      const before = all.size;
      for (const form of formsOf(secret)) all.add(form);
      if (all.size > before) forms = compile(all);
    },
    redact: (text) => mask(text, { forms, until: text.length, covered: 0 }).text,
    createStream: () => createStream(() => forms),
  };
}

function createStream(currentForms: () => Forms): RedactionStream {
  let held = '';
  let covered = 0; // characters at the start of `held` that an already printed mask stands for
  const advance = (text: string, until: number): string => {
    const masked = mask(text, { forms: currentForms(), until, covered });
    held = text.slice(until);
    covered = masked.overhang;
    return masked.text;
  };
  return {
    push: (chunk) => {
      const text = held + chunk;
      return advance(text, firstUnfinished(text, currentForms()));
    },
    flush: () => advance(held, held.length),
  };
}

/**
 * Replaces what any form covers in the first `until` characters. Forms that overlap share one mask, so nothing of the
 * second stays; `covered` characters at the start belong to a mask that is already out.
 */
function mask(text: string, options: { forms: Forms; until: number; covered: number }): Masked {
  const { until } = options;
  const { pattern } = options.forms;
  let result = '';
  let end = options.covered;
  if (pattern !== undefined) {
    pattern.lastIndex = 0;
    for (let match = pattern.exec(text); match !== null && match.index < until; match = pattern.exec(text)) {
      if (match.index >= end) result += text.slice(end, match.index) + redactionMask;
      end = Math.max(end, match.index + match[0].length);
      pattern.lastIndex = match.index + 1;
    }
  }
  return { text: result + text.slice(end, Math.max(end, until)), overhang: Math.max(0, end - until) };
}

/** The first position from which the text could still grow into a form; the text's length when there is none. */
function firstUnfinished(text: string, forms: Forms): number {
  for (let start = Math.max(0, text.length - forms.lengthMax + 1); start < text.length; start += 1) {
    const rest = text.length - start;
    for (const form of forms.byFirstCharacter.get(text.charAt(start)) ?? []) {
      if (form.length > rest && text.endsWith(form.slice(0, rest))) return start;
    }
  }
  return text.length;
}

function compile(all: ReadonlySet<string>): Forms {
  const longestFirst = [...all].sort((left, right) => right.length - left.length);
  const byFirstCharacter = new Map<string, string[]>();
  for (const form of longestFirst) {
    const sameStart = byFirstCharacter.get(form.charAt(0));
    if (sameStart === undefined) byFirstCharacter.set(form.charAt(0), [form]);
    else sameStart.push(form);
  }
  const alternation = longestFirst.map((form) => form.replace(/[.*+?^${}()|[\]\\/]/g, String.raw`\$&`)).join('|');
  return {
    pattern: alternation === '' ? undefined : new RegExp(alternation, 'g'),
    byFirstCharacter,
    lengthMax: longestFirst[0]?.length ?? 0,
  };
}

/** Every form in which a secret is printed by the programs that print secrets. */
function formsOf(secret: string): readonly string[] {
  const plain = [secret, ...secret.split('\n').map((line) => line.trim()), ...secretLeaves(secret)];
  return plain
    .filter((text) => text.length >= secretLengthMin)
    .flatMap((text) => {
      const escaped = jsonEscaped(text);
      const encoded = encodeURIComponent(text.toWellFormed());
      const lowerEncoded = encoded.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
      // Tool arguments are JSON inside JSON, hence twice.
      return [text, escaped, jsonEscaped(escaped), encoded, lowerEncoded].concat(base64Forms(text));
    })
    .filter((form) => form.length >= secretLengthMin);
}

function jsonEscaped(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/** Base64 of the secret wherever it stands in what was encoded (`user:secret`): without characters that share bits. */
function base64Forms(text: string): readonly string[] {
  const bytes = Buffer.from(text);
  return [0, 1, 2].flatMap((offset) => {
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    const isLastShared = (offset + bytes.length) % 3 !== 0;
    const form = encoded.slice(Math.ceil((offset * 8) / 6), isLastShared ? -1 : undefined);
    return [form, form.replaceAll('+', '-').replaceAll('/', '_')];
  });
}

const secretKeyPattern = /key|secret|token|password|credential/i;

/** A service account is one JSON document: once parsed its key is printed alone. */
function secretLeaves(secret: string): readonly string[] {
  if (!secret.trimStart().startsWith('{')) return [];
  const leaves: string[] = [];
  try {
    JSON.parse(secret, (key: string, value: unknown) => {
      if (typeof value === 'string' && secretKeyPattern.test(key)) leaves.push(value, ...value.split('\n'));
      return value;
    });
  } catch {
    // Starts like JSON and is none: its lines are registered anyway.
    return [];
  }
  return leaves;
}
