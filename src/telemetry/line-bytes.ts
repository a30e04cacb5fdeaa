// The quick way for an ordinary entry: ASCII that needs no escapes is put into one buffer, byte for byte, without a string.
import { barePattern, type LogFields, plainPattern, quotablePattern, textLengthMax, timestamp } from './log-line.ts';

export interface LineBytes {
  readonly bytes: Buffer;
  /** Where the message begins in `bytes` after `encode`. */
  readonly bodyStart: number;
  /** How much of `bytes` the line has, with its newline; 0 when the entry is not an ordinary one. `word` is `[INFO] worker: `. */
  encode(word: string, message: string, fields: LogFields): number;
}

/** Room for a few dozen ordinary fields; what is longer is not ordinary. */
const capacity = 64 * 1024;

export function createLineBytes(): LineBytes {
  return new LineBuffer();
}

class LineBuffer implements LineBytes {
  readonly bytes = Buffer.alloc(capacity);
  bodyStart = 0;
  #end = 0;
  #time = '';
  #word = '';

  encode(word: string, message: string, fields: LogFields): number {
    this.#begin(word);
    if (message.length > textLengthMax || !plainPattern.test(message)) return 0;
    this.#put(message);
    for (const key in fields) {
      const value = fields[key];
      if (value === undefined) continue;
      if (this.#end + key.length > capacity - textLengthMax - 8) return 0;
      this.bytes[this.#end++] = 0x20;
      this.#put(key);
      this.bytes[this.#end++] = 0x3d;
      if (typeof value === 'number') this.#put(String(value));
      else if (typeof value !== 'string' || value.length > textLengthMax || !this.#putText(value)) return 0;
    }
    this.bytes[this.#end++] = 0x0a;
    return this.#end;
  }

  /** Time and word mostly stand there already, from the line before. */
  #begin(word: string): void {
    const time = timestamp();
    if (time === this.#time && word === this.#word) {
      this.#end = this.bodyStart;
      return;
    }
    this.#end = 0;
    this.#put(time);
    this.bytes[this.#end++] = 0x20;
    this.#put(word);
    this.bodyStart = this.#end;
    this.#time = time;
    this.#word = word;
  }

  #putText(text: string): boolean {
    if (barePattern.test(text)) {
      this.#put(text);
      return true;
    }
    if (!quotablePattern.test(text)) return false;
    this.bytes[this.#end++] = 0x22;
    this.#put(text);
    this.bytes[this.#end++] = 0x22;
    return true;
  }

  #put(text: string): void {
    const { bytes } = this;
    const start = this.#end;
    // For the length of a message a loop is quicker than the call of a copying function.
    for (let index = 0; index < text.length; index += 1) bytes[start + index] = text.charCodeAt(index);
    this.#end = start + text.length;
  }
}
