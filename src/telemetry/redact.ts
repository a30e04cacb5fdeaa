// Removes registered secrets, in every form in which they may appear, from logs, tool output and model text.

export interface Redactor {
  /** Adds a secret; shorter than 6 characters is ignored, because it would tear ordinary words apart. */
  register(secret: string): void;
  /** For a complete text, a log record or a tool result. */
  redact(text: string): string;
  /** For text that comes in pieces: holds back what may be the start of a secret. */
  createStream(): RedactionStream;
}

export interface RedactionStream {
  push(chunk: string): string;
  /** What was held back; call it at the end. */
  flush(): string;
}

export declare function createRedactor(): Redactor;
