// Cuts a server's standard output into JSON-RPC messages of bounded size.

/** Larger answers are refused, not read: a result goes into a transcript of 400 kB, or as a file into the workspace. */
export const messageBytesMax = 32 * 1024 * 1024;
/** Of a message that is too large: enough to find its id at either end. */
const edgeBytes = 256;

export interface MessageReaderOptions {
  readonly bytesMax?: number;
  onMessage(message: object): void;
  /** A line that is no message: what a program prints beside the protocol. */
  onGarbage(line: string): void;
  /** A line beyond the limit is dropped; `id` is that of the request it answered, if it could be told. */
  onOversize(id: number | undefined, bytes: number): void;
}

export interface MessageReader {
  push(chunk: Uint8Array): void;
}

export function createMessageReader(options: MessageReaderOptions): MessageReader {
  const bytesMax = options.bytesMax ?? messageBytesMax;
  let parts: Buffer[] = [];
  let bytes = 0;
  /** Of an oversized line: its start and its end so far. */
  let edges: { readonly head: Buffer; tail: Buffer } | undefined;

  const append = (part: Buffer): void => {
    if (part.length === 0) return;
    bytes += part.length;
    if (edges !== undefined) {
      edges.tail = Buffer.concat([edges.tail, part.subarray(-edgeBytes)]).subarray(-edgeBytes);
      return;
    }
    parts.push(Buffer.from(part)); // the stream may use its chunk again
    if (bytes <= bytesMax) return;
    const whole = Buffer.concat(parts);
    edges = { head: Buffer.from(whole.subarray(0, edgeBytes)), tail: Buffer.from(whole.subarray(-edgeBytes)) };
    parts = [];
  };
  const emit = (): void => {
    if (edges === undefined) read(Buffer.concat(parts).toString('utf8').trim());
    else options.onOversize(idOf(edges.head.toString('latin1'), edges.tail.toString('latin1')), bytes);
    parts = [];
    bytes = 0;
    edges = undefined;
  };
  const read = (line: string): void => {
    if (line === '') return;
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      message = undefined;
    }
    if (typeof message === 'object' && message !== null && 'jsonrpc' in message) options.onMessage(message);
    else options.onGarbage(line);
  };
  return {
    push: (chunk) => {
      const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      let start = 0;
      for (let end = buffer.indexOf(10); end !== -1; end = buffer.indexOf(10, start)) {
        append(buffer.subarray(start, end));
        emit();
        start = end + 1;
      }
      append(buffer.subarray(start));
    },
  };
}

/** The libraries that servers are made with write the id before the result or as the last key; ours are numbers. */
function idOf(head: string, tail: string): number | undefined {
  const found =
    /^\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d+)\s*,/.exec(head) ??
    /"id"\s*:\s*(\d+)\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$/.exec(tail);
  return found?.[1] === undefined ? undefined : Number(found[1]);
}
