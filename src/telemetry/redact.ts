// Removes registered secrets, in every form in which they may appear, from logs, tool output and model text.
import { formsOf, type SecretForm, secretLengthMin } from './secret-forms.ts';

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
      formsOf(secret).forEach(forms.add);
      for (const listener of listeners) listener(secret);
    },
    redact: (text) => {
      const found = forms.find(text);
      return found.length === 0 ? text : mask(text, found, { until: text.length, covered: 0 }).text;
    },
    isClean: forms.isClean,
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

/** What one form covers in a text. */
interface Found {
  readonly start: number;
  readonly end: number;
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

const nothingFound: readonly Found[] = [];

interface FormTable {
  readonly add: (form: SecretForm) => void;
  /** Every place where a form stands, the longest form of each start, in no order. */
  find(text: string): readonly Found[];
  /** True when no head of a form stands there. */
  readonly isClean: (ascii: Uint8Array, start: number, end: number) => boolean;
  /** The first position from which the text could still grow into a form; the text's length when there is none. */
  firstUnfinished(text: string): number;
}

/** A form is found by its first characters; one that may be wrapped also by those after a break within them. */
interface Head {
  readonly form: SecretForm;
  /** What stands before the break. */
  readonly before: string;
}

/** A head is as long as the shortest form. */
const headLength = secretLengthMin;

/**
 * Wu and Manber's search: blocks of three characters say how far the next head can begin at least, so that of an ordinary
 * text every fourth character is looked at (http://webglimpse.net/pubs/TR94-17.pdf).
 */
function createFormTable(): FormTable {
  const known = new Set<string>();
  const heads = new Map<string, Head[]>();
  const byFirstUnit = new Map<string, SecretForm[]>();
  const shifts = new Uint8Array(65_536).fill(blocksOfHead);
  const starts = new Uint8Array(65_536);
  let spanMax = 0;
  const addHead = (form: SecretForm, beforeLength: number): void => {
    const key = form.text.slice(beforeLength, beforeLength + headLength);
    if (key.length < headLength) return;
    listIn(heads, key).push({ form, before: form.text.slice(0, beforeLength) });
    starts[blockAt(key, 0)] = 1;
    for (let start = 0; start < blocksOfHead; start += 1) {
      const block = blockAt(key, start);
      shifts[block] = Math.min(shifts[block] ?? 0, blocksOfHead - 1 - start);
    }
  };
  return {
    add: (form) => {
      if (known.has(form.text)) return;
      known.add(form.text);
      listIn(byFirstUnit, form.text.charAt(0)).push(form);
      for (let before = 0; before < (form.isWrapped ? headLength : 1); before += 1) addHead(form, before);
      spanMax = Math.max(spanMax, spanMaxOf(form));
    },
    find: (text) => {
      let found: Found[] | undefined;
      const last = spanMax === 0 ? -1 : text.length - blockLength;
      for (let block = blocksOfHead - 1; block <= last;) {
        const shift = shifts[blockAt(text, block)] ?? 0;
        if (shift > 0) {
          block += shift;
          continue;
        }
        const position = block - (blocksOfHead - 1);
        block += 1;
        if (starts[blockAt(text, position)] === 0) continue;
        for (const { form, before } of heads.get(text.slice(position, position + headLength)) ?? []) {
          const start = before === '' ? position : startBefore(text, position, before);
          const end = start < 0 ? undefined : endOf(text, start, form);
          if (end !== undefined && end !== unfinished) (found ??= []).push({ start, end });
        }
      }
      return found ?? nothingFound;
    },
    isClean: (ascii, start, end) => {
      if (spanMax === 0) return true;
      // Every head holds one of these blocks, and none of them waits for the one before.
      for (let block = start + blocksOfHead - 1; block <= end - blockLength; block += blocksOfHead) {
        if (shifts[byteBlockAt(ascii, block)] === blocksOfHead) continue;
        for (let position = block - blocksOfHead + 1; position <= block; position += 1) {
          if (starts[byteBlockAt(ascii, position)] === 0 || position + headLength > end) continue;
          if (shifts[byteBlockAt(ascii, position + blocksOfHead - 1)] !== 0) continue;
          if (heads.has(String.fromCharCode(...ascii.subarray(position, position + headLength)))) return false;
        }
      }
      return true;
    },
    firstUnfinished: (text) => {
      const first = Math.max(0, text.length - spanMax);
      let breakAt = nextBreak(text, first);
      for (let start = first; start < text.length; start += 1) {
        if (start > breakAt) breakAt = nextBreak(text, start);
        // A head that is all there and in one piece is known by its last block.
        const isWhole = start + headLength <= Math.min(breakAt, text.length);
        if (isWhole && shifts[blockAt(text, start + blocksOfHead - 1)] !== 0) continue;
        for (const form of byFirstUnit.get(text.charAt(start)) ?? []) {
          if (endOf(text, start, form) === unfinished) return start;
        }
      }
      return text.length;
    },
  };
}

function listIn<Value>(map: Map<string, Value[]>, key: string): Value[] {
  const list = map.get(key) ?? [];
  map.set(key, list);
  return list;
}

const blockLength = 3;
const blocksOfHead = headLength - blockLength + 1;

function blockAt(text: string, start: number): number {
  return ((text.charCodeAt(start) << 10) ^ (text.charCodeAt(start + 1) << 5) ^ text.charCodeAt(start + 2)) & 0xff_ff;
}

/** The same of bytes. */
function byteBlockAt(ascii: Uint8Array, start: number): number {
  return (((ascii[start] ?? 0) << 10) ^ ((ascii[start + 1] ?? 0) << 5) ^ (ascii[start + 2] ?? 0)) & 0xff_ff;
}

const unfinished = 'unfinished';

/** Where the form that starts at `start` ends; `unfinished` when the text ends first; undefined when it is another text. */
function endOf(text: string, start: number, form: SecretForm): number | typeof unfinished | undefined {
  const { text: expected, isWrapped } = form;
  if (!isWrapped) {
    if (text.startsWith(expected, start)) return start + expected.length;
    const rest = text.length - start;
    return rest < expected.length && expected.startsWith(text.slice(start)) ? unfinished : undefined;
  }
  let breaksLeft = breaksMaxOf(expected);
  let position = start;
  for (let index = 0; index < expected.length; index += 1, position += 1) {
    if (index > 0 && text.charCodeAt(position) !== expected.charCodeAt(index) && breaksLeft > 0) {
      position = breakEnd(text, position);
      breaksLeft -= 1;
    }
    if (position >= text.length) return unfinished;
    if (text.charCodeAt(position) !== expected.charCodeAt(index)) return undefined;
  }
  return position;
}

/** `\r\n`, also escaped up to twice, and an indentation. */
const breakLengthMax = 32;
/** OpenSSL breaks after 64 characters, `xxd -p` after 60; half of that leaves room for whoever breaks earlier. */
const wrapWidthMin = 30;

function breaksMaxOf(form: string): number {
  return 1 + Math.ceil(form.length / wrapWidthMin);
}

/** How long a form can be with its breaks. */
function spanMaxOf({ text, isWrapped }: SecretForm): number {
  return isWrapped ? text.length + breakLengthMax * breaksMaxOf(text) : text.length;
}

/** The first character after `position` with which a break begins. */
function nextBreak(text: string, position: number): number {
  for (let index = position + 1; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit === lineFeed || unit === carriageReturn || unit === backslash) return index;
  }
  return text.length;
}

/** The end of a line break that begins at `start`; `start` when there is none. */
function breakEnd(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first !== lineFeed && first !== carriageReturn && first !== backslash) return start;
  let end = start;
  while (end < text.length && end - start < breakLengthMax && isBreak(text, end)) end += 1;
  return end;
}

/** Where the form begins whose characters after a break are at `position`, given those before it; negative when it does not. */
function startBefore(text: string, position: number, before: string): number {
  let end = position;
  while (end > 0 && position - end < breakLengthMax && isBreak(text, end - 1)) end -= 1;
  return end < position && text.endsWith(before, end) ? end - before.length : -1;
}

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const backslash = 0x5c;

/** A character of a line break or of an indentation, `r` and `n` only when they are escaped. */
function isBreak(text: string, position: number): boolean {
  const unit = text.charCodeAt(position);
  if (unit === lineFeed || unit === carriageReturn || unit === 0x20 || unit === 0x09 || unit === backslash) return true;
  return (unit === 0x6e || unit === 0x72) && text.charCodeAt(position - 1) === backslash;
}
