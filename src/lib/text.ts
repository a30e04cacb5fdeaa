// Text of unknown size made bounded: cut at characters, never inside one.

export interface OutputBuffer {
  /** Bytes seen, kept or not. */
  readonly bytesTotal: number;
  readonly isTruncated: boolean;
  /** The chunk may be reused by the caller afterwards. */
  push(chunk: Uint8Array | string): void;
  /** Head, a line saying how many bytes are left out, tail. Valid Unicode without NUL; may be called at any time. */
  text(): string;
}

/**
 * Keeps the first and the last half of `bytesMax` bytes, because a command says what it does at its start and what came of
 * it at its end. Memory stays under 2 × `bytesMax` however much is pushed. The line in the middle comes on top.
 */
export function createOutputBuffer(options: { readonly bytesMax: number }): OutputBuffer {
  const headMax = Math.ceil(options.bytesMax / 2);
  const tailMax = options.bytesMax - headMax;
  // Never read beyond what was written; most outputs are a line, and clearing 100 kB for each costs more than the line.
  const head = Buffer.allocUnsafe(headMax);
  const tail = createRing(tailMax);
  let headLength = 0;
  let bytesTotal = 0;
  return {
    get bytesTotal() {
      return bytesTotal;
    },
    get isTruncated() {
      return bytesTotal > options.bytesMax;
    },
    push: (chunk) => {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      bytesTotal += bytes.length;
      const toHead = Math.min(bytes.length, headMax - headLength);
      head.set(bytes.subarray(0, toHead), headLength);
      headLength += toHead;
      tail.push(bytes.subarray(toHead));
    },
    text: () => {
      const headBytes = head.subarray(0, headLength);
      if (bytesTotal <= options.bytesMax)
        return cutHead(decode(Buffer.concat([headBytes, tail.bytes()])), options.bytesMax);
      const start = cutHead(decode(withoutSplitEnd(headBytes)), headMax);
      const end = cutTail(decode(withoutSplitStart(tail.bytes())), tailMax);
      return `${start}\n[… ${bytesTotal - options.bytesMax} bytes left out …]\n${end}`;
    },
  };
}

/** The longest start of `text` that has at most `bytesMax` bytes of UTF-8. */
export function cutHead(text: string, bytesMax: number): string {
  if (text.length * 3 <= bytesMax) return text;
  const bytes = Buffer.from(text);
  return bytes.length <= bytesMax ? text : withoutSplitEnd(bytes.subarray(0, bytesMax)).toString('utf8');
}

/** The longest end of `text` that has at most `bytesMax` bytes of UTF-8. */
export function cutTail(text: string, bytesMax: number): string {
  if (text.length * 3 <= bytesMax) return text;
  const bytes = Buffer.from(text);
  return bytes.length <= bytesMax ? text : withoutSplitStart(bytes.subarray(bytes.length - bytesMax)).toString('utf8');
}

/** Bytes that are no UTF-8 become U+FFFD, which is why callers cut after decoding as well; NUL breaks terminals and databases. */
function decode(bytes: Buffer): string {
  return bytes.toString('utf8').replaceAll('\0', '');
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

/** A character has at most 4 bytes. */
const characterBytesMax = 4;

function withoutSplitStart(bytes: Buffer): Buffer {
  let start = 0;
  while (start < characterBytesMax - 1 && isContinuation(bytes[start])) start += 1;
  return bytes.subarray(start);
}

function withoutSplitEnd(bytes: Buffer): Buffer {
  let lead = bytes.length - 1;
  while (lead > 0 && bytes.length - lead < characterBytesMax && isContinuation(bytes[lead])) lead -= 1;
  const first = bytes[lead] ?? 0;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  return length > bytes.length - lead ? bytes.subarray(0, lead) : bytes;
}

interface Ring {
  push(bytes: Uint8Array): void;
  /** The last bytes pushed, oldest first. */
  bytes(): Buffer;
}

function createRing(size: number): Ring {
  const ring = Buffer.allocUnsafe(size);
  let next = 0;
  let length = 0;
  return {
    push: (bytes) => {
      const last = bytes.subarray(Math.max(0, bytes.length - size));
      const beforeWrap = Math.min(last.length, size - next);
      ring.set(last.subarray(0, beforeWrap), next);
      ring.set(last.subarray(beforeWrap), 0);
      next = size === 0 ? 0 : (next + last.length) % size;
      length = Math.min(size, length + last.length);
    },
    bytes: () => {
      if (length < size) return Buffer.from(ring.subarray(0, length));
      return Buffer.concat([ring.subarray(next), ring.subarray(0, next)]);
    },
  };
}

/** The text as one word for a POSIX shell, for commands that a person copies. */
export function shellWord(text: string): string {
  return /^[\w./:@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
