// Two processes of ours talk over one pipe: questions with an answer, and parts of it on the way, and words without one.
import type { Duplex } from 'node:stream';
import { createLineSplitter } from '../lib/lines.ts';
import { fromWire, toWire, type WireError } from './wire-error.ts';

/** What one side may be asked or told, by name; everything in it survives JSON. */
export type Vocabulary = Readonly<
  Record<string, { readonly value: unknown; readonly answer: unknown; readonly part: unknown }>
>;

export interface Asking<Part> {
  /** Tells the other side to stop; the answer is awaited all the same. */
  readonly signal?: AbortSignal | undefined;
  readonly onPart?: ((part: Part) => void) | undefined;
}

export interface Channel<Theirs extends Vocabulary> {
  /** Nobody answers, and nobody hears it once the channel is closed. Arrives before everything that is said later. */
  tell<Name extends keyof Theirs & string>(name: Name, value: Theirs[Name]['value']): void;
  /** Rejects as the other side's handler did, with the signal's reason when that was aborted, or with `ChannelClosedError`. */
  ask<Name extends keyof Theirs & string>(
    name: Name,
    value: Theirs[Name]['value'],
    options?: Asking<Theirs[Name]['part']>,
  ): Promise<Theirs[Name]['answer']>;
  /** Resolves when nothing more will come. */
  readonly closed: Promise<void>;
  close(): void;
}

/** What this side does when it is asked or told. A handler of something told must not throw. */
export type Handlers<Ours extends Vocabulary> = {
  readonly [Name in keyof Ours]: (
    value: Ours[Name]['value'],
    context: { readonly signal: AbortSignal; readonly onPart: (part: Ours[Name]['part']) => void },
  ) => Ours[Name]['answer'] | Promise<Ours[Name]['answer']>;
};

/** The other process is gone, or is about to be. */
export class ChannelClosedError extends Error {
  override readonly name = 'ChannelClosedError';
}

/** One line of JSON each. Both ends are the same build of ours, so what arrives is not checked again. */
type Message =
  | { readonly type: 'tell'; readonly name: string; readonly value: unknown }
  | { readonly type: 'ask'; readonly name: string; readonly id: number; readonly value: unknown }
  | { readonly type: 'stop'; readonly id: number }
  | { readonly type: 'part'; readonly id: number; readonly value: unknown }
  | { readonly type: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly type: 'failure'; readonly id: number; readonly error: WireError };

interface Question {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly options: Asking<unknown>;
}

type Handler = (value: unknown, context: { signal: AbortSignal; onPart: (part: unknown) => void }) => unknown;

/** A transcript of 400 kB with its events fits a hundred times; a line beyond it is a fault of ours. */
const lineLengthMax = 64 * 1024 * 1024;

export function openChannel<Ours extends Vocabulary, Theirs extends Vocabulary>(
  stream: Duplex,
  handlers: Handlers<Ours>,
): Channel<Theirs> {
  return new PipeChannel(stream, handlers);
}

/** Lives as long as the pipe. */
class PipeChannel implements Channel<Vocabulary> {
  readonly closed: Promise<void>;
  private readonly asked = new Map<number, Question>();
  private readonly answering = new Map<number, AbortController>();
  private nextId = 1;
  private isClosed = false;

  constructor(
    private readonly stream: Duplex,
    private readonly handlers: Readonly<Record<string, Handler>>,
  ) {
    this.closed = readMessages(stream, (message) => this.receive(message)).then(() => this.end());
  }

  tell(name: string, value: unknown): void {
    this.send({ type: 'tell', name, value });
  }

  async ask(name: string, value: unknown, options: Asking<unknown> = {}): Promise<unknown> {
    if (this.isClosed) throw new ChannelClosedError('the other process is gone');
    const { signal } = options;
    const id = this.nextId++;
    const stop = (): void => this.send({ type: 'stop', id });
    const answer = new Promise((resolve, reject) => this.asked.set(id, { resolve, reject, options }));
    this.send({ type: 'ask', name, id, value });
    if (signal?.aborted === true) stop();
    else signal?.addEventListener('abort', stop, { once: true });
    try {
      return await answer;
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      this.asked.delete(id);
      signal?.removeEventListener('abort', stop);
    }
  }

  close(): void {
    this.stream.end();
  }

  /** What is under way is bounded by the calls that a worker runs at once, so the pipe's buffer may grow. */
  private send(message: Message): void {
    if (!this.isClosed) this.stream.write(`${JSON.stringify(message)}\n`);
  }

  /** False for what no build of ours says: whoever is at the other end, it is not our other half. */
  private receive(message: Message | null): boolean {
    if (message?.type === undefined) return false;
    if (message.type === 'tell' && this.handlers[message.name] === undefined) return false;
    this.take(message);
    return true;
  }

  private take(message: Message): void {
    switch (message.type) {
      case 'tell':
        this.handlerOf(message.name)(message.value, { signal: neverAborted, onPart: () => undefined });
        return;
      case 'ask':
        void this.answer(message.id, message.name, message.value);
        return;
      case 'stop':
        this.answering.get(message.id)?.abort();
        return;
      case 'part':
        this.asked.get(message.id)?.options.onPart?.(message.value);
        return;
      case 'answer':
        this.asked.get(message.id)?.resolve(message.value);
        return;
      case 'failure':
        this.asked.get(message.id)?.reject(fromWire(message.error));
    }
  }

  private async answer(id: number, name: string, value: unknown): Promise<void> {
    const controller = new AbortController();
    this.answering.set(id, controller);
    try {
      const onPart = (part: unknown): void => this.send({ type: 'part', id, value: part });
      const answer = await this.handlerOf(name)(value, { signal: controller.signal, onPart });
      this.send({ type: 'answer', id, value: answer });
    } catch (error) {
      this.send({ type: 'failure', id, error: toWire(error) });
    } finally {
      this.answering.delete(id);
    }
  }

  private handlerOf(name: string): Handler {
    const handler = this.handlers[name];
    if (handler === undefined) throw new Error(`nobody here knows what to do with ${name}`);
    return handler;
  }

  private end(): void {
    this.isClosed = true;
    for (const question of this.asked.values()) question.reject(new ChannelClosedError('the other process is gone'));
    for (const controller of this.answering.values()) controller.abort();
  }
}

const neverAborted = new AbortController().signal;

function parse(line: string): Message | null {
  try {
    return JSON.parse(line) as Message;
  } catch {
    // Written by something else, or beyond the limit.
    return null;
  }
}

/** Resolves when the stream has ended or broken, which is the same: the other process is gone. */
function readMessages(stream: Duplex, receive: (message: Message | null) => boolean): Promise<void> {
  const splitter = createLineSplitter({
    lineLengthMax,
    // A line without its newline was cut by the other side's death; the splitter is never flushed.
    onLine: (line) => {
      if (!stream.destroyed && !receive(parse(line))) stream.destroy();
    },
  });
  return new Promise((resolve) => {
    stream.on('data', (chunk: Uint8Array) => splitter.push(chunk));
    stream.on('end', resolve);
    stream.on('close', resolve);
    stream.on('error', () => resolve());
  });
}
