// One HTTP exchange with a model server: its signal, the limit of each wait, and the bytes of its body.

/** After the end mark the body's own end is in the same packet or the next; waiting for it lets the connection be used again. */
const drainTimeoutMs = 50;

/** Why we ended a request ourselves. */
export type Stop = 'cancelled' | 'first_byte' | 'idle';

/** The part of a stream's reader that Bun and Node agree about. */
interface ByteReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

/** One HTTP exchange: its signal, the limit of the wait that it is in, and why it was stopped. */
export interface Exchange extends AsyncDisposable {
  readonly signal: AbortSignal;
  readonly stopped: Stop | undefined;
  /** Rejects when the exchange is stopped, at once, whatever the runtime's fetch does about its signal. */
  readonly aborted: Promise<never>;
  /** True once the connection broke off in the middle of the body. */
  isBroken: boolean;
  /** Starts a new wait, which ends the one before. */
  expect(stop: Exclude<Stop, 'cancelled'>, limitMs: number): void;
  /** Bytes of the bodies so far. */
  readonly traffic: { bytesSent: number; bytesReceived: number };
  /** The reader to release at the end. */
  reader: ByteReader | undefined;
}

export function openExchange(outer: AbortSignal): Exchange {
  const controller = new AbortController();
  let stopped: Stop | undefined;
  let timer: NodeJS.Timeout | undefined;
  const stop = (reason: Stop): void => {
    stopped ??= reason;
    controller.abort(new Error(reason));
  };
  const cancel = (): void => stop('cancelled');
  const aborted = new Promise<never>((_resolve, reject) => {
    controller.signal.addEventListener('abort', () => reject(new Error('The exchange was stopped')), { once: true });
  });
  // Nobody may be waiting when it is stopped.
  aborted.catch(() => undefined);
  if (outer.aborted) cancel();
  else outer.addEventListener('abort', cancel, { once: true });
  return {
    signal: controller.signal,
    aborted,
    isBroken: false,
    traffic: { bytesSent: 0, bytesReceived: 0 },
    reader: undefined,
    get stopped() {
      return stopped;
    },
    expect(reason, limitMs) {
      clearTimeout(timer);
      timer = setTimeout(stop, limitMs, reason);
    },
    async [Symbol.asyncDispose]() {
      clearTimeout(timer);
      outer.removeEventListener('abort', cancel);
      await release(this.reader);
      controller.abort();
    },
  };
}

/** Reads what is left for a moment, so that the connection can be kept, then closes it. */
async function release(reader: ByteReader | undefined): Promise<void> {
  if (reader === undefined) return;
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, drainTimeoutMs);
  });
  try {
    await Promise.race([reader.read(), limit]);
    await reader.cancel();
  } catch {
    // The connection is broken already, and the answer is read: there is nothing left to release.
  } finally {
    clearTimeout(timer);
  }
}

/** The bytes of a body until it ends, breaks off or the exchange is stopped; the exchange says which. */
export async function* chunksOf(response: Response, exchange: Exchange): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  const reader: ByteReader = response.body.getReader();
  exchange.reader = reader;
  for (;;) {
    let chunk: Awaited<ReturnType<ByteReader['read']>>;
    try {
      chunk = await Promise.race([reader.read(), exchange.aborted]);
    } catch {
      exchange.isBroken = exchange.stopped === undefined;
      return;
    }
    if (chunk.done || chunk.value === undefined) {
      exchange.reader = undefined;
      return;
    }
    exchange.traffic.bytesReceived += chunk.value.length;
    yield chunk.value;
  }
}

/** The body as text; what is longer than the limit is cut. */
export async function readText(response: Response, bytesMax: number, exchange: Exchange): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for await (const chunk of chunksOf(response, exchange)) {
    bytes += chunk.length;
    text += decoder.decode(chunk, { stream: true });
    if (bytes > bytesMax) break;
  }
  return text + decoder.decode();
}
