// Finds every form of every secret in a text: which place could begin one is looked up, nothing is searched for.
import { type SecretForm, secretLengthMin } from './secret-forms.ts';

/** What one form covers in a text. */
export interface Found {
  readonly start: number;
  readonly end: number;
}

export interface FormTable {
  add(form: SecretForm): void;
  /** Every place where a form stands, the longest form of each start, in no order. */
  find(text: string): readonly Found[];
  /** True when no head of a form stands there. */
  isClean(ascii: Uint8Array, start: number, end: number): boolean;
  /** The first position from which the text could still grow into a form; the text's length when there is none. */
  firstUnfinished(text: string): number;
}

export function createFormTable(): FormTable {
  return new BlockTable();
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
class BlockTable implements FormTable {
  readonly #known = new Set<string>();
  readonly #heads = new Map<string, Head[]>();
  readonly #byFirstUnit = new Map<string, SecretForm[]>();
  /** Of each block, how far it is at least from the last block of a head; `blocksOfHead` when it is in none. */
  readonly #shifts = new Uint8Array(65_536).fill(blocksOfHead);
  /** 1 for the blocks with which a head begins. */
  readonly #starts = new Uint8Array(65_536);
  #spanMax = 0;

  add(form: SecretForm): void {
    if (this.#known.has(form.text)) return;
    this.#known.add(form.text);
    listIn(this.#byFirstUnit, form.text.charAt(0)).push(form);
    for (let before = 0; before < (form.isWrapped ? headLength : 1); before += 1) this.#addHead(form, before);
    this.#spanMax = Math.max(this.#spanMax, spanMaxOf(form));
  }

  #addHead(form: SecretForm, beforeLength: number): void {
    const key = form.text.slice(beforeLength, beforeLength + headLength);
    if (key.length < headLength) return;
    listIn(this.#heads, key).push({ form, before: form.text.slice(0, beforeLength) });
    this.#starts[blockAt(key, 0)] = 1;
    for (let start = 0; start < blocksOfHead; start += 1) {
      const block = blockAt(key, start);
      this.#shifts[block] = Math.min(this.#shifts[block] ?? 0, blocksOfHead - 1 - start);
    }
  }

  find(text: string): readonly Found[] {
    let found: Found[] | undefined;
    const last = this.#spanMax === 0 ? -1 : text.length - blockLength;
    for (let block = blocksOfHead - 1; block <= last;) {
      const shift = this.#shifts[blockAt(text, block)] ?? 0;
      if (shift > 0) {
        block += shift;
        continue;
      }
      const position = block - (blocksOfHead - 1);
      block += 1;
      if (this.#starts[blockAt(text, position)] === 0) continue;
      for (const { form, before } of this.#heads.get(text.slice(position, position + headLength)) ?? []) {
        const start = before === '' ? position : startBefore(text, position, before);
        const end = start < 0 ? undefined : endOf(text, start, form);
        if (end !== undefined && end !== unfinished) (found ??= []).push({ start, end });
      }
    }
    return found ?? nothingFound;
  }

  isClean(ascii: Uint8Array, start: number, end: number): boolean {
    const shifts = this.#shifts;
    const starts = this.#starts;
    if (this.#spanMax === 0) return true;
    // Every head holds one of these blocks, and none of them waits for the one before.
    for (let block = start + blocksOfHead - 1; block <= end - blockLength; block += blocksOfHead) {
      if (shifts[byteBlockAt(ascii, block)] === blocksOfHead) continue;
      for (let position = block - blocksOfHead + 1; position <= block; position += 1) {
        if (starts[byteBlockAt(ascii, position)] === 0 || position + headLength > end) continue;
        if (shifts[byteBlockAt(ascii, position + blocksOfHead - 1)] !== 0) continue;
        if (this.#heads.has(String.fromCharCode(...ascii.subarray(position, position + headLength)))) return false;
      }
    }
    return true;
  }

  firstUnfinished(text: string): number {
    const first = Math.max(0, text.length - this.#spanMax);
    let breakAt = nextBreak(text, first);
    for (let start = first; start < text.length; start += 1) {
      if (start > breakAt) breakAt = nextBreak(text, start);
      // A head that is all there and in one piece is known by its last block.
      const isWhole = start + headLength <= Math.min(breakAt, text.length);
      if (isWhole && this.#shifts[blockAt(text, start + blocksOfHead - 1)] !== 0) continue;
      for (const form of this.#byFirstUnit.get(text.charAt(start)) ?? []) {
        if (endOf(text, start, form) === unfinished) return start;
      }
    }
    return text.length;
  }
}

const nothingFound: readonly Found[] = [];

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
