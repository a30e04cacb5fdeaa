// The quick way for an ordinary entry: ASCII that needs no escapes is put into one buffer, byte for byte, without a string.
import { barePattern, type LogFields, plainPattern, quotablePattern, textLengthMax, timestamp } from './log-line.ts';

export interface LineBytes {
  readonly bytes: Buffer;
  /** Where the message begins in `bytes` after `encode`. */
  readonly bodyStart: number;
  /** How much of `bytes` the line has, with its newline; 0 when the entry is not an ordinary one. `start` is `[INFO] worker: `. */
  encode(start: string, message: string, fields: LogFields): number;
}

/** Room for a few dozen ordinary fields; what is longer is not ordinary. */
const capacity = 64 * 1024;

export function createLineBytes(): LineBytes {
  return new LineBuffer();
}

class LineBuffer implements LineBytes {
  readonly bytes = Buffer.alloc(capacity);
  bodyStart = 0;
  #time = '';
  #start = '';
  #seen = 0;

  encode(start: string, message: string, fields: LogFields): number {
    const { bytes } = this;
    const time = timestamp();
    // Mostly they stand there already, from the line before.
    if (time !== this.#time || start !== this.#start) {
      this.#time = time;
      this.#start = start;
      this.bodyStart = put(bytes, putByte(bytes, put(bytes, 0, time), 0x20), start);
    }
    if (message.length > textLengthMax) return 0;
    let end = this.#putSeen(this.bodyStart, message);
    if (this.#seen >= isEscaped) return 0;
    for (const key in fields) {
      const value = fields[key];
      if (value === undefined) continue;
      if (end + key.length > capacity - textLengthMax - numberLengthMax) return 0;
      end = putByte(bytes, put(bytes, putByte(bytes, end, 0x20), key), 0x3d);
      if (typeof value === 'number') end = putNumber(bytes, end, value);
      else if (typeof value !== 'string' || value.length > textLengthMax) return 0;
      else {
        end = this.#putValue(end, value);
        if (this.#seen > isQuoted) return 0;
      }
    }
    return putByte(bytes, end, 0x0a);
  }

  #putValue(start: number, value: string): number {
    const { bytes } = this;
    const end = this.#putSeen(start, value);
    if (this.#seen === 0 && end > start) return end;
    return putByte(bytes, put(bytes, putByte(bytes, start, 0x22), value), 0x22);
  }

  /** Like `put`, and says in `#seen` what kinds of characters there were: one pass instead of a pattern beside it. */
  #putSeen(end: number, text: string): number {
    const { bytes } = this;
    const { length } = text;
    let seen = 0;
    for (let index = 0; index < length; index += 1) {
      const unit = text.charCodeAt(index);
      seen |= kinds[unit] ?? isEscaped;
      bytes[end + index] = unit;
    }
    this.#seen = seen;
    return end + length;
  }
}

/** A value with such a character stands in quotes. */
const isQuoted = 1;
/** One with such a character is escaped there. */
const isEscapedInQuotes = 2;
/** No text with such a character stands in a line as it is. */
const isEscaped = 4;
/** Of ASCII, made of the patterns that all other entries go by. */
const kinds = Uint8Array.from({ length: 128 }, (_, unit) => {
  const character = String.fromCharCode(unit);
  if (!plainPattern.test(character)) return isEscaped;
  if (!quotablePattern.test(character)) return isEscapedInQuotes;
  return barePattern.test(character) ? 0 : isQuoted;
});

// Each gives the end of what it has put.

function putByte(bytes: Buffer, end: number, byte: number): number {
  bytes[end] = byte;
  return end + 1;
}

/** For the length of a message a loop is quicker than the call of a copying function. */
function put(bytes: Buffer, end: number, text: string): number {
  const { length } = text;
  for (let index = 0; index < length; index += 1) bytes[end + index] = text.charCodeAt(index);
  return end + length;
}

/** `-1.2345678901234567e-300`, and the blanks and quotes of one field. */
const numberLengthMax = 32;
/** Whole numbers below it are counted out by hand; a string for each would cost as much as the rest of the field. */
const digitsMax = 1_000_000_000;

function putNumber(bytes: Buffer, end: number, value: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= digitsMax) return put(bytes, end, String(value));
  let last = end + 1;
  for (let limit = 10; value >= limit; limit *= 10) last += 1;
  let rest = value;
  for (let index = last - 1; index >= end; index -= 1) {
    const tenth = Math.floor((rest + 0.5) * 0.1);
    bytes[index] = 0x30 + rest - tenth * 10;
    rest = tenth;
  }
  return last;
}
