// One entry of the log as one line of text: how it is written, and how it is read again.
import { KubiyaError } from '../errors.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** Undefined is left out; an Error shows its message and causes, and its stack when it is not a user's error. */
export type LogFields = Readonly<Record<string, unknown>>;

/** The last line of a file that is rotated away; readers know by it that nothing follows. */
export const trailerMessage = 'The log goes on in a new file';

/** An entry is a fact, not a document; longer texts are cut so that a line stays readable and far below the file's limit. */
export const textLengthMax = 8_000;

let momentAt = 0;
let momentText = '';

/** The time now in ISO 8601; kept for the rest of its millisecond, because a busy log writes many lines in one. */
export function timestamp(): string {
  const now = Date.now();
  if (now !== momentAt) {
    momentAt = now;
    momentText = new Date(now).toISOString();
  }
  return momentText;
}

/** `Connected to Temporal address=… namespace=…`, on one line and not yet redacted; `cut` shortens what is too long. */
export function lineBody(message: string, fields: LogFields, cut: (text: string) => string): string {
  let body = oneLine(message.length > textLengthMax ? cut(message) : message);
  for (const key in fields) {
    const value = fields[key];
    // One template for each: of all ways to put strings together the quickest to be made flat.
    if (typeof value === 'number') body = `${body} ${key}=${value}`;
    else if (value !== undefined) body = `${body} ${key}=${quoted(fieldText(value), cut)}`;
  }
  return body;
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

function quoted(whole: string, cut: (text: string) => string): string {
  const text = whole.length > textLengthMax ? cut(whole) : whole;
  if (barePattern.test(text)) return text;
  if (quotablePattern.test(text)) return `"${text}"`;
  const isBare = /^[^\s"=\\,]+$/.test(text);
  return isBare ? oneLine(text) : `"${oneLine(text.replace(/["\\]/g, String.raw`\$&`))}"`;
}

/** Control characters as escapes: an entry is one line, and text from outside cannot steer a terminal. */
function oneLine(text: string): string {
  return plainPattern.test(text) ? text : text.replace(/[\p{Cc}\u2028\u2029]/gu, escaped);
}

// Nearly every text is ASCII without anything to escape; these see it in a few nanoseconds.
/** Stands in a line as it is. */
export const plainPattern = /^[ -~]*$/;
/** Is a value without quotes. */
export const barePattern = /^[!#-+\--<>-[\]-~]+$/;
/** Is a value in quotes. */
export const quotablePattern = /^[ !#-[\]-~]*$/;

function escaped(character: string): string {
  if (character === '\n') return String.raw`\n`;
  if (character === '\t') return String.raw`\t`;
  return String.raw`\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
}

const levelsByWord: Readonly<Record<string, LogLevel>> = { DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' };
const levelsByNumber: Readonly<Record<string, LogLevel>> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' };
const textStart = /^(\S{24}) \[(DEBUG|INFO|WARN|ERROR)\] /;
const recordStart = /^\{"level":(20|30|40|50),"time":(\d+)/;

/** Of a line in either format, without reading the rest of it; undefined when it is no entry. */
export function lineLevel(line: string): LogLevel | undefined {
  const word = textStart.exec(line)?.[2];
  if (word !== undefined) return levelsByWord[word];
  return levelsByNumber[recordStart.exec(line)?.[1] ?? ''];
}

/** The same for its time, in milliseconds since 1970. */
export function lineTime(line: string): number | undefined {
  const text = textStart.exec(line)?.[1];
  const time = text === undefined ? Number(recordStart.exec(line)?.[2]) : Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

/** An entry as it is read from a line of either format. */
export interface ParsedEntry {
  /** ISO 8601. */
  readonly time: string;
  readonly level: LogLevel;
  readonly component: string;
  readonly message: string;
  readonly fields: LogFields;
}

/** Undefined for a line that is no entry: what a crash left, or the end of one that was cut. */
export function parseLine(line: string): ParsedEntry | undefined {
  return line.startsWith('{') ? parseRecord(line) : parseText(line);
}

const textPattern = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) \[(DEBUG|INFO|WARN|ERROR)\] ([^\s:]*): (.*)$/;
/** Fields at the end; what follows a comma is the end of a sentence like that of the metrics. */
const fieldsPattern = /(?<!,)(?: [\w.$-]+=(?:"(?:[^"\\]|\\.)*"|[^\s"=\\,]+))+$/;
const fieldPattern = / ([\w.$-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s"=\\,]+))/g;

function parseText(line: string): ParsedEntry | undefined {
  const [, time, level, component, text] = textPattern.exec(line) ?? [];
  const name = levelsByWord[level ?? ''];
  if (time === undefined || name === undefined || component === undefined || text === undefined) return undefined;
  const [all = ''] = fieldsPattern.exec(text) ?? [];
  const fields: Record<string, unknown> = {};
  for (const [, key = '', quotedText, bare = ''] of all.matchAll(fieldPattern)) {
    fields[key] = quotedText === undefined ? bareValue(bare) : unescaped(quotedText);
  }
  const message = unescaped(text.slice(0, text.length - all.length));
  return { time, level: name, component, message, fields };
}

/** Numbers and the like come back as what they were. */
function bareValue(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  if (text === 'null') return null;
  return String(Number(text)) === text ? Number(text) : unescaped(text);
}

function unescaped(text: string): string {
  return text.replace(/\\(?:u([0-9a-f]{4})|(.))/g, (_all, code: string | undefined, character: string) => {
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16));
    return character === 'n' ? '\n' : character === 't' ? '\t' : character;
  });
}

function parseRecord(line: string): ParsedEntry | undefined {
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof record !== 'object' || record === null) return undefined;
  const { time, level, component, msg, pid: _pid, ...fields } = record as Record<string, unknown>;
  const name = levelsByNumber[String(level)];
  const isTime = typeof time === 'number' && Math.abs(time) <= dateMax;
  if (name === undefined || !isTime) return undefined;
  const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
  return {
    time: new Date(time).toISOString(),
    level: name,
    component: textOf(component),
    message: textOf(msg),
    fields,
  };
}

/** The last moment that a Date can be. */
const dateMax = 8_640_000_000_000_000;
