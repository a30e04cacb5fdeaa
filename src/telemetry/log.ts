// The log: one line per entry, to a rotating file and/or stderr, secrets removed, never a reason to fail.
import { pino, stdSerializers } from 'pino';
import { errnoOf, messageOf } from '../errors.ts';
import { createLineBytes } from './line-bytes.ts';
import {
  lineBody,
  timestamp,
  type LogFields,
  type LogLevel,
  logLevels,
  textLengthMax,
  trailerMessage,
} from './log-line.ts';
import type { Redactor } from './redact.ts';
import { createRotatingFile, type RotatingFile } from './rotate.ts';
import { createStderrSink } from './stderr.ts';

export type { LogFields, LogLevel } from './log-line.ts';
export type LogFormat = 'text' | 'json';

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
  /** Its directory is made when it is not there. */
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
  /** Afterwards entries only go to `onLine`: a file or directory that is removed does not come back. */
  close(): void;
}

export function createLog(options: LogOptions): LogRoot {
  const lineOf = options.format === 'json' ? jsonLines(options.redactor) : textLines(options.redactor);
  const file = options.file === undefined ? undefined : openLogFile(options.file, lineOf);
  const { stderr = 'none', onLine } = options;
  const stderrSink = stderr === 'none' ? undefined : createStderrSink();
  const isColoured = stderr === 'colour' && options.format === 'text';
  const show = (line: string, level: LogLevel): void => {
    stderrSink?.write(isColoured ? coloured(line, level) : line);
    onLine?.(line.slice(0, -1));
  };
  const isShown = stderrSink !== undefined || onLine !== undefined;
  const ordinary = createLineBytes();
  const emit: Emit = (place, message, fields) => {
    const length = options.format === 'json' ? 0 : ordinary.encode(place.start, message, fields);
    if (length > 0 && options.redactor.isClean(ordinary.bytes, ordinary.bodyStart, length)) {
      file?.writeBytes(ordinary.bytes, length);
      if (isShown) show(ordinary.bytes.toString('latin1', 0, length), place.level);
      return;
    }
    const line = lineOf(place, message, fields);
    file?.write(line);
    show(line, place.level);
  };
  const lowest = logLevels.indexOf(options.level);
  return {
    ...logOf(options.component, lowest, emit),
    get linesLost() {
      return file?.linesLost ?? 0;
    },
    get lastError() {
      return file?.lastError;
    },
    close: () => {
      file?.close();
      stderrSink?.close();
    },
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

/** What entries of one level and component have in common. */
interface Place {
  readonly level: LogLevel;
  readonly component: string;
  /** What a text line has between its time and its message. */
  readonly start: string;
}

function placeOf(level: LogLevel, component: string): Place {
  return { level, component, start: `${levelWords[level]} ${component}: ` };
}

type Emit = (place: Place, message: string, fields: LogFields) => void;

const noFields: LogFields = Object.freeze({});
const nothing = (): void => undefined;

function logOf(component: string, lowest: number, emit: Emit): Log {
  const at = (level: LogLevel) => {
    if (logLevels.indexOf(level) < lowest) return nothing;
    const place = placeOf(level, component);
    return (message: string, fields: LogFields = noFields): void => {
      try {
        emit(place, message, fields);
      } catch (error) {
        // A field whose getter throws: the entry matters more than the field.
        emit(place, message, { fields_lost: String(error) });
      }
    };
  };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (name) => logOf(name, lowest, emit),
  };
}

/** One entry as its line, redacted and with its newline. */
type LineOf = (place: Place, message: string, fields: LogFields) => string;

/** Redacted first: half a secret would not be recognised. */
function cutter(redactor: Redactor): (text: string) => string {
  return (text) => `${redactor.redact(text).slice(0, textLengthMax).toWellFormed()}… (${text.length} characters)`;
}

function textLines(redactor: Redactor): LineOf {
  const cut = cutter(redactor);
  return ({ start }, message, fields) => `${timestamp()} ${start}${redactor.redact(lineBody(message, fields, cut))}\n`;
}

const levelWords = { debug: '[DEBUG]', info: '[INFO]', warn: '[WARN]', error: '[ERROR]' } as const;

/** Most that a JSON record may have before its fields are looked at one by one. */
const recordLengthMax = 4 * textLengthMax;
/** Pino's own keys, and ours. */
const reservedKeys = ['level', 'time', 'pid', 'component', 'msg'] as const;

/** Pino makes the records and hands them straight to us, never through one of its transports. */
function jsonLines(redactor: Redactor): LineOf {
  let record = '';
  const destination = { write: (text: string): void => void (record = text) };
  const serializers = { error: stdSerializers.err, err: stdSerializers.err, cause: stdSerializers.err };
  const logger = pino({ level: 'debug', serializers, base: { pid: process.pid } }, destination);
  const cut = cutter(redactor);
  const recordOf = ({ level, component }: Place, message: string, fields: LogFields): string => {
    logger[level]({ component, ...renamed(fields) }, message);
    return record;
  };
  return (place, message, fields) => {
    const whole = recordOf(place, message, fields);
    if (whole.length <= recordLengthMax) return redactor.redact(whole);
    const short = (text: string): string => (text.length > textLengthMax ? cut(text) : text);
    const shortened = Object.entries(fields).map(([key, value]) => [key, shortValue(value, short)] as const);
    const shortFields: LogFields = Object.fromEntries(shortened);
    return redactor.redact(recordOf(place, short(message), shortFields));
  };
}

/** A field must not take the place of what every record has. */
function renamed(fields: LogFields): LogFields {
  if (!reservedKeys.some((key) => key in fields)) return fields;
  const isReserved = (key: string): boolean => reservedKeys.some((reserved) => reserved === key);
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [isReserved(key) ? `${key}_` : key, value]));
}

/** The value itself when it is short, else the beginning of its text. */
function shortValue(value: unknown, short: (text: string) => string): unknown {
  const text =
    typeof value === 'string' ? value : JSON.stringify(value instanceof Error ? stdSerializers.err(value) : value);
  return text !== undefined && text.length > textLengthMax ? short(text) : value;
}

function openLogFile(file: LogFileOptions, lineOf: LineOf): RotatingFile {
  const { header } = file;
  const opened = createRotatingFile({
    ...file,
    header: header && (() => lineOf(placeOf('info', 'log'), header().message, header().fields ?? noFields)),
    trailer: () => lineOf(placeOf('info', 'log'), trailerMessage, { file: file.path }),
    lossReport: (lines, reason) => {
      const count = lines === 1 ? '1 line' : `${lines} lines`;
      return lineOf(
        placeOf('warn', 'log'),
        `${count} could not be written (${errnoOf(reason) ?? messageOf(reason)})`,
        noFields,
      );
    },
  });
  // With its header the file is there from the start, also for `tail -f` on a worker whose level leaves nothing to say.
  if (header !== undefined) opened.write('');
  return opened;
}

const levelColours: Readonly<Record<LogLevel, string>> = {
  debug: '\x1b[2m',
  info: '\x1b[32m',
  warn: '\x1b[33m',
  error: '\x1b[31m',
};

/** The line with its level in colour. */
export function coloured(line: string, level: LogLevel): string {
  const word = levelWords[level];
  return line.replace(word, `${levelColours[level]}${word}\x1b[0m`);
}
