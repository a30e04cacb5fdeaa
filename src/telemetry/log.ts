// The log: one line per entry, to a rotating file and/or stderr, secrets removed, never a reason to fail.
import { writeSync } from 'node:fs';
import { pino, stdSerializers } from 'pino';
import { KubiyaError } from '../errors.ts';
import type { Redactor } from './redact.ts';
import { createRotatingFile, type RotatingFile } from './rotate.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFormat = 'text' | 'json';

/** Undefined is left out; an Error shows its message and causes, and its stack when it is not a user's error. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Never throws, whatever it is given. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log for another component: the word before the message. Sinks, level and redaction are shared. */
  child(component: string): Log;
}

export interface LogFileOptions {
  readonly path: string;
  readonly bytesMax: number;
  readonly backups: number;
  /** First entry of every new file: what somebody who gets only this file has to know. */
  readonly header?: (() => { readonly message: string; readonly fields?: LogFields }) | undefined;
}

export interface LogOptions {
  readonly component: string;
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly redactor: Redactor;
  /** The directory must exist before the first entry. */
  readonly file?: LogFileOptions | undefined;
  /** `colour` for a terminal that may show it. Default none. */
  readonly stderr?: 'none' | 'plain' | 'colour';
  /** Each written line without newline and colour, redacted: for heartbeats and the WebUI. Must not throw. */
  readonly onLine?: ((line: string) => void) | undefined;
}

export interface LogRoot extends Log {
  /** Lines that the file could not take (disk full), and why the last one could not. */
  readonly linesLost: number;
  readonly lastError: unknown;
  close(): void;
}

export function createLog(options: LogOptions): LogRoot {
  const file = options.file === undefined ? undefined : openLogFile(options.file, options);
  const emit = (entry: Entry, record: string): void => {
    const line = options.redactor.redact(
      options.format === 'json' ? record.trimEnd() : textLine(entry, options.redactor),
    );
    file?.write(`${line}\n`);
    if (options.stderr === 'plain' || options.stderr === 'colour') {
      writeToStderr(
        `${options.stderr === 'colour' && options.format === 'text' ? coloured(line, entry.level) : line}\n`,
      );
    }
    options.onLine?.(line);
  };
  const root = wrap(createPino(options.level, emit).child({ component: options.component }));
  return {
    ...root,
    get linesLost() {
      return file?.linesLost ?? 0;
    },
    get lastError() {
      return file?.lastError;
    },
    close: () => file?.close(),
  };
}

/** For code that runs without a log. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};

interface Entry {
  readonly time: Date;
  readonly level: LogLevel;
  readonly component: string;
  readonly message: string;
  readonly fields: LogFields;
}

type PinoLogger = ReturnType<typeof createPino>;

/** Pino does levels, children and JSON; its records go straight to `emit`, never through one of its transports. */
function createPino(level: LogLevel, emit: (entry: Entry, record: string) => void) {
  // Pino sets these on the destination before each write, see "Metadata" in its API documentation.
  const destination = {
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 30,
    lastObj: {} as LogFields | null,
    lastMsg: '' as string | undefined,
    lastLogger: undefined as { bindings(): { component?: string } } | undefined,
    write(record: string): void {
      const entry: Entry = {
        time: new Date(),
        level: levelNames[this.lastLevel] ?? 'info',
        component: this.lastLogger?.bindings().component ?? '',
        message: this.lastMsg ?? '',
        fields: this.lastObj ?? {},
      };
      emit(entry, record);
    },
  };
  const serializers = { error: stdSerializers.err, err: stdSerializers.err, cause: stdSerializers.err };
  return pino({ level, serializers, base: { pid: process.pid } }, destination);
}

const levelNames: Readonly<Record<number, LogLevel>> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' };

function wrap(logger: PinoLogger): Log {
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      try {
        logger[level](fields, message);
      } catch (error) {
        // A field whose getter throws: the entry matters more than the field.
        logger[level]({ fields_lost: String(error) }, message);
      }
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (component) => wrap(logger.child({ component })),
  };
}

function openLogFile(file: LogFileOptions, options: LogOptions): RotatingFile {
  const line = (message: string, fields: LogFields): string => {
    const time = new Date();
    const entry: Entry = { time, level: 'info', component: 'log', message, fields };
    const record = { level: 30, time: time.getTime(), pid: process.pid, component: 'log', ...fields, msg: message };
    return `${options.redactor.redact(options.format === 'json' ? JSON.stringify(record) : textLine(entry, options.redactor))}\n`;
  };
  const { header } = file;
  return createRotatingFile({
    ...file,
    header: header && (() => line(header().message, header().fields ?? {})),
    trailer: () => line('The log goes on in a new file', { file: file.path }),
  });
}

/** `2026-11-24T10:00:00.000Z [INFO] worker: Connected to Temporal address=… namespace=…` */
function textLine(entry: Entry, redactor: Redactor): string {
  let line = `${entry.time.toISOString()} [${entry.level.toUpperCase()}] ${entry.component}: ${oneLine(entry.message)}`;
  for (const [key, value] of Object.entries(entry.fields)) {
    if (value !== undefined) line += ` ${key}=${quoted(cut(fieldText(value), redactor))}`;
  }
  return line;
}

/** A field is a fact, not a document; longer values are cut so that a line stays readable and far below the file's limit. */
const fieldLengthMax = 8_000;

function cut(text: string, redactor: Redactor): string {
  if (text.length <= fieldLengthMax) return text;
  // Redacted first: half a secret would not be recognised.
  return `${redactor.redact(text).slice(0, fieldLengthMax)}… (${text.length} characters)`;
}

function fieldText(value: unknown): string {
  if (typeof value === 'string') return value;
  return value instanceof Error ? errorText(value) : structureText(value);
}

function structureText(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  try {
    return JSON.stringify(value);
  } catch {
    // A cycle or a BigInt: the log is no place to fail.
    return Object.prototype.toString.call(value);
  }
}

/** Causes beyond this depth say nothing new, and a cycle ends here. */
const causesMax = 5;

function errorText(error: Error, depth = 0): string {
  const own = error instanceof KubiyaError ? `${error.message} (${error.code})` : (error.stack ?? String(error));
  const { cause } = error;
  return depth >= causesMax || !(cause instanceof Error) ? own : `${own}\ncaused by: ${errorText(cause, depth + 1)}`;
}

function quoted(text: string): string {
  return /^[^\s"=\\]+$/.test(text) ? oneLine(text) : `"${oneLine(text.replace(/["\\]/g, String.raw`\$&`))}"`;
}

/** Control characters as escapes: an entry is one line, and text from outside cannot steer a terminal. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, (character) => {
    if (character === '\n') return String.raw`\n`;
    if (character === '\t') return String.raw`\t`;
    return String.raw`\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
  });
}

const levelColours: Readonly<Record<LogLevel, string>> = {
  debug: '\x1b[2m',
  info: '\x1b[32m',
  warn: '\x1b[33m',
  error: '\x1b[31m',
};

function coloured(line: string, level: LogLevel): string {
  const word = `[${level.toUpperCase()}]`;
  return line.replace(word, `${levelColours[level]}${word}\x1b[0m`);
}

/** Attempts on a terminal or pipe that is full because its reader is slow; at 1 ms each the worker waits 20 ms at most. */
const stderrAttemptsMax = 20;

function writeToStderr(text: string): void {
  const bytes = Buffer.from(text);
  let written = 0;
  for (let attempt = 0; attempt < stderrAttemptsMax && written < bytes.length; attempt += 1) {
    try {
      written += writeSync(2, bytes, written);
    } catch (error) {
      // EAGAIN: whoever gave us this descriptor made it non-blocking. Anything else: nobody reads any more.
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
