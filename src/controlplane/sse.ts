// Server-sent events out of a byte stream, by the specification: multi-line data, any line end, comments, split characters.
import { KubiyaError } from '../errors.ts';
import { createLineSplitter } from '../lib/lines.ts';

export interface ServerSentEvent {
  /** The last id the stream has named, which is what a reconnect sends. */
  readonly id: string | undefined;
  /** `message` when the stream names none. */
  readonly event: string;
  readonly data: string;
}

/** A tool's output is at most some 100 kB; a session replay message 400 kB with escapes. Longer lines are cut and then refused. */
const lineLengthMax = 4_000_000;

export interface SseParser {
  push(chunk: Uint8Array): readonly ServerSentEvent[];
}

/** An event that the end of the stream cuts off is dropped, as the specification wants: a reconnect brings it again. */
export function createSseParser(): SseParser {
  let completed: ServerSentEvent[] = [];
  let id: string | undefined;
  let event = '';
  let data: string[] = [];

  const onLine = (line: string, isTruncated: boolean): void => {
    if (isTruncated) throw tooLong();
    if (line === '') {
      if (data.length > 0) completed.push({ id, event: event === '' ? 'message' : event, data: data.join('\n') });
      event = '';
      data = [];
      return;
    }
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') data.push(value);
    else if (field === 'event') event = value;
    else if (field === 'id' && !value.includes('\0')) id = value;
  };
  const lines = createLineSplitter({ lineLengthMax, onLine });
  return {
    push: (chunk) => {
      completed = [];
      lines.push(chunk);
      return completed;
    },
  };
}

/** Not retryable: a reconnect would bring the same event again. */
function tooLong(): KubiyaError {
  return new KubiyaError(`the control plane sent an event of more than ${lineLengthMax} characters`, {
    kind: 'api_refused',
    code: 'event_too_long',
    hint: 'read the execution with `kubiya execution get`',
  });
}
