// The log: one line per entry, to a rotating file and/or stderr, secrets removed, never a reason to fail.
import type { Redactor } from './redact.ts';
import type { RotatingFile } from './rotate.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFormat = 'text' | 'json';

/** `undefined` is left out; an Error becomes its message in text, and its stack and causes in the entry's `stack`. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Must not throw, whatever it is given. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log for another component: the word before the message. Sinks, level and redaction are shared. */
  child(component: string): Log;
}

export interface LogOptions {
  readonly component: string;
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly redactor: Redactor;
  /** Rotating file of a worker; null for none. */
  readonly file: RotatingFile | null;
  /** `colour` when it is a terminal that may show it. */
  readonly stderr: 'none' | 'plain' | 'colour';
}

export interface LogRoot extends Log {
  /** Lines that could not be written (disk full, broken pipe). */
  readonly linesLost: number;
}

export declare function createLog(options: LogOptions): LogRoot;
