// Cuts a stream of bytes into lines of bounded length.

export interface LineSplitterOptions {
  /** In UTF-16 units. What goes beyond is dropped up to the next newline, and the line is marked. */
  readonly lineLengthMax: number;
  /** Without its newline (`\n` or `\r\n`). */
  readonly onLine: (line: string, isTruncated: boolean) => void;
}

export interface LineSplitter {
  /** A character may be split between two chunks of bytes. */
  push(chunk: Uint8Array | string): void;
  /** At the end of the stream: hands over a last line without newline. */
  flush(): void;
}

export function createLineSplitter(options: LineSplitterOptions): LineSplitter {
  const decoder = new TextDecoder();
  let pending = '';
  let isTruncated = false;

  const append = (part: string): void => {
    const room = options.lineLengthMax - pending.length;
    if (part.length > room) isTruncated = true;
    pending += part.length > room ? part.slice(0, room) : part;
  };
  const emit = (): void => {
    const line = pending.endsWith('\r') ? pending.slice(0, -1) : pending;
    const wasTruncated = isTruncated;
    pending = '';
    isTruncated = false;
    options.onLine(line, wasTruncated);
  };
  const pushText = (text: string): void => {
    // Only the new text is searched: a long line in small chunks stays linear.
    let start = 0;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
      append(text.slice(start, end));
      emit();
      start = end + 1;
    }
    append(text.slice(start));
  };
  return {
    push: (chunk) => pushText(typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true })),
    flush: () => {
      pushText(decoder.decode());
      if (pending !== '' || isTruncated) emit();
    },
  };
}
