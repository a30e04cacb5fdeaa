// Removes registered secrets, in every form in which they may appear, from logs, tool output and model text.
import { createFormTable, type FormTable, type Found } from './form-table.ts';
import { formsOf } from './secret-forms.ts';

export interface Redactor {
  /** Adds a secret; shorter than 6 characters is ignored, because it would tear ordinary words apart. */
  register(secret: string): void;
  /** For a complete text: a log record, a tool result. */
  redact(text: string): string;
  /** True when ASCII text from `start` to `end` certainly holds no secret: the quick look before `redact`. */
  isClean(ascii: Uint8Array, start: number, end: number): boolean;
  /** For text that comes in pieces. Together the pieces read as `redact` of the whole. */
  createStream(): RedactionStream;
  /** For another process of ours that has to know them too: tells every secret, also those to come. Returns what ends it. */
  follow(listener: (secret: string) => void): () => void;
}

export interface RedactionStream {
  /** Holds back what may be the start of a secret: never more than the longest form of one. */
  push(chunk: string): string;
  /** What was held back; call it at the end. */
  flush(): string;
}

export const redactionMask = '[redacted]';

export function createRedactor(): Redactor {
  const forms = createFormTable();
  const secrets = new Set<string>();
  const listeners = new Set<(secret: string) => void>();
  return {
    register: (secret) => {
      if (secrets.has(secret)) return;
      secrets.add(secret);
      for (const form of formsOf(secret)) forms.add(form);
      for (const listener of listeners) listener(secret);
    },
    redact: (text) => {
      const found = forms.find(text);
      return found.length === 0 ? text : mask(text, found, { until: text.length, covered: 0 }).text;
    },
    isClean: (ascii, start, end) => forms.isClean(ascii, start, end),
    createStream: () => createStream(forms),
    follow: (listener) => {
      listeners.add(listener);
      for (const secret of secrets) listener(secret);
      return () => listeners.delete(listener);
    },
  };
}

function createStream(forms: FormTable): RedactionStream {
  let held = '';
  let covered = 0; // characters at the start of `held` that an already printed mask stands for
  const advance = (text: string, until: number): string => {
    const masked = mask(text, forms.find(text), { until, covered });
    held = text.slice(until);
    covered = masked.overhang;
    return masked.text;
  };
  return {
    push: (chunk) => {
      const text = held + chunk;
      return advance(text, forms.firstUnfinished(text));
    },
    flush: () => advance(held, held.length),
  };
}

/** What masking gives: the text, and how far the last masked part reaches beyond `until`. */
interface Masked {
  readonly text: string;
  readonly overhang: number;
}

/**
 * Replaces what was found in the first `until` characters. Forms that overlap share one mask, so nothing of the second
 * stays; `covered` characters at the start belong to a mask that is already out.
 */
function mask(text: string, found: readonly Found[], options: { until: number; covered: number }): Masked {
  const { until } = options;
  if (found.length === 0 && options.covered === 0) {
    return { text: until === text.length ? text : text.slice(0, until), overhang: 0 };
  }
  let result = '';
  let end = options.covered;
  for (const next of found.toSorted((left, right) => left.start - right.start)) {
    if (next.start >= until) break;
    if (next.start >= end) result += text.slice(end, next.start) + redactionMask;
    end = Math.max(end, next.end);
  }
  return { text: result + text.slice(end, Math.max(end, until)), overhang: Math.max(0, end - until) };
}
