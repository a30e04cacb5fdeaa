// A parser of server-sent events after the HTML specification: multi-line data, any line end, comments, bytes in any pieces.

export interface ServerSentEvent {
  /** The last id that the stream has named, which is what a reconnect sends. */
  readonly id?: string | undefined;
  /** The event's name; `message` when the server gave none. */
  readonly event: string;
  readonly data: string;
}

/**
 * One event may be a whole answer (a server that sends a tool call with a file in one piece) or the replay of a session
 * (400 kB with escapes); no honest one is longer.
 */
const eventCharactersMaxDefault = 8_000_000;

export interface SseParser {
  /** The events completed by these bytes, or `too_long` when one grew past the limit; it is of no use after that. */
  push(bytes: Uint8Array): ServerSentEvent[] | 'too_long';
}

/** An event without its closing blank line is dropped at the end of the stream, as the specification says. */
export function createSseParser(eventCharactersMax: number = eventCharactersMaxDefault): SseParser {
  const decoder = new TextDecoder();
  let rest = '';
  let scanned = 0;
  let isAfterCarriageReturn = false;
  let id: string | undefined;
  let name = '';
  let data: string[] = [];
  let dataChars = 0;

  function takeLine(line: string): ServerSentEvent | undefined {
    if (line === '') {
      const event =
        data.length === 0 ? undefined : { id, event: name === '' ? 'message' : name, data: data.join('\n') };
      name = '';
      data = [];
      dataChars = 0;
      return event;
    }
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') {
      data.push(value);
      dataChars += value.length + 1;
    } else if (field === 'event') {
      name = value;
    } else if (field === 'id' && !value.includes('\0')) {
      id = value;
    }
    return undefined;
  }

  return {
    push(bytes) {
      rest += decoder.decode(bytes, { stream: true });
      const events: ServerSentEvent[] = [];
      let start = 0;
      for (let at = scanned; at < rest.length; at += 1) {
        const code = rest.charCodeAt(at);
        if (code === 0x0a && isAfterCarriageReturn) {
          isAfterCarriageReturn = false;
          start = at + 1;
          continue;
        }
        isAfterCarriageReturn = code === 0x0d;
        if (code !== 0x0a && code !== 0x0d) continue;
        const event = takeLine(rest.slice(start, at));
        start = at + 1;
        if (event !== undefined) events.push(event);
      }
      rest = rest.slice(start);
      scanned = rest.length;
      return rest.length + dataChars > eventCharactersMax ? 'too_long' : events;
    },
  };
}
