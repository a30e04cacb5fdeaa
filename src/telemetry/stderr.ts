// Lines for whoever looks at stderr, written so that a reader who is slow, stopped or gone never holds this process.
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { errnoOf } from '../errors.ts';

export interface StderrSink {
  /** One complete line with its newline. Never throws and never waits. */
  write(line: string): void;
  /** Gives the reader a last moment for what it has not taken yet. */
  close(): void;
}

/** About ten thousand lines: a pager that is read page by page misses nothing of an ordinary day. */
const pendingBytesMax = 2 * 1024 * 1024;
/** While the reader is slow it is tried again this often; what a pipe holds each time makes 6 MB/s. */
const retryMs = 10;
/** What a reader gets at the end, in all: nothing else is to be done then, so that all of it can be taken in time. */
const closeLimitMs = 500;
const closeRetryMs = 1;
const stderrDescriptor = 2;

export function createStderrSink(): StderrSink {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let linesDropped = 0;
  let isGone = false;
  let timer: NodeJS.Timeout | undefined;
  const descriptor = openNonBlocking();

  /** Writes as much of the bytes as the reader takes now; gives the rest. */
  const offer = (bytes: Buffer): Buffer => {
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(descriptor, bytes, written);
    } catch (error) {
      // Anything but "not now" means that nobody reads any more.
      if (errnoOf(error) !== 'EAGAIN') isGone = true;
    }
    return isGone ? bytes.subarray(bytes.length) : bytes.subarray(written);
  };
  const keep = (bytes: Buffer): void => {
    pending.push(bytes);
    pendingBytes += bytes.length;
    timer ??= setTimeout(drain, retryMs).unref();
  };
  const drain = (): void => {
    timer = undefined;
    const [first, ...others] = pending;
    const rest = offer(first !== undefined && others.length === 0 ? first : Buffer.concat(pending));
    pending = [];
    pendingBytes = 0;
    if (rest.length > 0) return keep(rest);
    if (linesDropped === 0) return;
    const note = Buffer.from(`${linesDropped} lines are not shown here, because stderr was not read\n`);
    linesDropped = 0;
    keep(note);
  };
  return {
    write: (line) => {
      if (isGone) return;
      const bytes = Buffer.from(line);
      if (pending.length > 0) {
        if (pendingBytes + bytes.length > pendingBytesMax) linesDropped += 1;
        else keep(bytes);
        return;
      }
      const rest = offer(bytes);
      if (rest.length > 0) keep(Buffer.from(rest));
    },
    close: () => {
      const deadline = Date.now() + closeLimitMs;
      while (pending.length > 0 && Date.now() < deadline) {
        drain();
        if (pending.length > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, closeRetryMs);
      }
      clearTimeout(timer);
      pending = [];
      isGone = true;
      if (descriptor !== stderrDescriptor) closeSync(descriptor);
    },
  };
}

/**
 * Stderr of our own that does not block: opened anew, because the flag of the descriptor that we were given is shared with
 * whoever gave it. Files are left as they are, since a second opening would write over their beginning.
 */
function openNonBlocking(): number {
  try {
    const kind = fstatSync(stderrDescriptor);
    if (!kind.isFIFO() && !kind.isCharacterDevice()) return stderrDescriptor;
    return openSync('/proc/self/fd/2', constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    // Not Linux, a terminal of somebody else, or no stderr at all: as it is.
    return stderrDescriptor;
  }
}
