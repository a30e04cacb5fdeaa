// The only door to stdout and stderr: colour, terminals, pipes that close, and words that must not move the cursor.
import { fstatSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { Chalk } from 'chalk';
import type { Environment } from '../config/sources.ts';
import { errnoOf } from '../errors.ts';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** One of the two streams. */
export interface Sink {
  readonly isTty: boolean;
  readonly hasColour: boolean;
  /** Characters in a line of the terminal; undefined in a pipe. */
  readonly columns: number | undefined;
  /** Waits while the reader is slow. After the reader has gone it does nothing. */
  write(text: string): Promise<void>;
  /** The text in this style where this stream shows colour. */
  style(style: Style, text: string): string;
  /** Text of a model or a tool: on a terminal and in GitLab's log without control sequences, in a pipe as it is. */
  foreign(text: string): string;
  /** Whole lines for the machine that reads the log of a CI job, which no other text can be taken for. */
  mark(lines: string): Promise<void>;
}

/** Whose job's log stdout and stderr go to. */
export interface ContinuousIntegration {
  readonly kind: 'github' | 'gitlab';
  /** Markdown that is shown beside the job. */
  readonly summaryFile: string | undefined;
}

export interface Output {
  /** The answer: data, and nothing else. */
  readonly stdout: Sink;
  /** Everything else. */
  readonly stderr: Sink;
  /** True when a question can be asked: a person sits at both ends and it is no CI. */
  readonly isInteractive: boolean;
  readonly ci: ContinuousIntegration | undefined;
  /** Where a question is drawn when `isInteractive`. */
  readonly questions: OutputStream;
  /** Aborts when nobody reads stdout any more (`| head`). */
  readonly closed: AbortSignal;
  /** One line on stdout. */
  print(line: string): Promise<void>;
  printJson(value: unknown): Promise<void>;
  /** One line on stderr. */
  note(line: string): Promise<void>;
  /** Resolves when both streams have been handed to the system. Throws when stdout is a file that could not take all. */
  flush(): Promise<void>;
}

export type OutputStream = Writable & { readonly isTTY?: boolean; readonly columns?: number };

export function createProcessOutput(environment: Environment): Output {
  return createOutput(process.stdout, process.stderr, { environment, isStdinTty: process.stdin.isTTY });
}

export function createOutput(
  stdoutStream: OutputStream,
  stderrStream: OutputStream,
  { environment, isStdinTty }: { environment: Environment; isStdinTty: boolean },
): Output {
  const closed = new AbortController();
  // A reader that left is not our error; what is still to be done (a clean-up, a running agent) goes on silently.
  const ci = ciOf(environment);
  const stdout = createSink(stdoutStream, { hasColour: showsColour(stdoutStream, environment), gone: closed, ci });
  const gone = new AbortController();
  const stderr = createSink(stderrStream, { hasColour: showsColour(stderrStream, environment), gone, ci });
  const isCi = isSet(environment['CI']) && environment['CI'] !== 'false';
  return {
    stdout,
    stderr,
    isInteractive: isStdinTty && stderr.isTty && !isCi && environment['TERM'] !== 'dumb',
    ci,
    questions: stderrStream,
    closed: closed.signal,
    print: (line) => stdout.write(`${line}\n`),
    printJson: (value) => stdout.write(`${jsonText(value, stdout.isTty ? 2 : undefined)}\n`),
    note: (line) => stderr.write(`${line}\n`),
    flush: async () => {
      const [written] = await Promise.allSettled([stdout.flush(), stderr.flush()]);
      if (written.status === 'rejected') throw written.reason;
    },
  };
}

/** A sink, and the end of it: what hands everything to the system. */
interface OwnSink extends Sink {
  flush(): Promise<void>;
}

const fileProblems: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

interface SinkOptions {
  readonly hasColour: boolean;
  /** Aborted when the reader has gone. */
  readonly gone: AbortController;
  readonly ci: ContinuousIntegration | undefined;
}

function createSink(stream: OutputStream, { hasColour, gone, ci }: SinkOptions): OwnSink {
  // A level of our own: chalk's detection knows nothing of NO_COLOR.
  const chalk = new Chalk({ level: hasColour ? 1 : 0 });
  const isTty = stream.isTTY === true;
  let failure: Error | undefined;
  // EPIPE and EIO: nobody is at the other end, and there is nowhere to report it to. A file that cannot grow is cut off.
  stream.on('error', (error) => {
    if (fileProblems.has(errnoOf(error) ?? '')) failure ??= error;
    gone.abort();
  });
  /** Resolves by the callback that `start` passes on, or when the reader has gone (then nothing else comes). */
  const settled = (start: (done: () => void) => void): Promise<void> =>
    new Promise((resolve) => {
      if (gone.signal.aborted) return resolve();
      const finish = (): void => {
        gone.signal.removeEventListener('abort', finish);
        resolve();
      };
      gone.signal.addEventListener('abort', finish, { once: true });
      start(finish);
    });
  const send = async (text: string): Promise<void> => {
    if (gone.signal.aborted || text === '' || stream.write(text)) return;
    await settled((done) => stream.once('drain', done));
  };
  // What goes into a file is nobody's log.
  const guard = ci?.kind === 'github' && !isFile(stream) ? createCommandGuard() : (text: string): string => text;
  return {
    isTty,
    hasColour,
    get columns() {
      return isTty ? stream.columns : undefined;
    },
    write: (text) => send(guard(text)),
    mark: send,
    style: (style, text) => chalk[style](text),
    foreign: (text) => (isTty || ci?.kind === 'gitlab' ? withoutControls(text) : text),
    flush: async () => {
      await settled((done) => stream.write('', () => done()));
      if (failure !== undefined) throw failure;
    },
  };
}

/**
 * JSON escapes the control characters below space; some terminals obey those from DEL on as well, and GitHub's runner what
 * stands behind `##[` anywhere in a line.
 */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent)
    .replaceAll(/[\u007f-\u009f]/g, (character) => String.raw`\u00${character.charCodeAt(0).toString(16)}`)
    .replaceAll('##[', String.raw`#\u0023[`);
}

function ciOf(environment: Environment): ContinuousIntegration | undefined {
  if (environment['GITHUB_ACTIONS'] === 'true')
    return { kind: 'github', summaryFile: environment['GITHUB_STEP_SUMMARY'] || undefined };
  return environment['GITLAB_CI'] === 'true' ? { kind: 'gitlab', summaryFile: undefined } : undefined;
}

function isFile(stream: OutputStream): boolean {
  const descriptor = 'fd' in stream ? stream.fd : undefined;
  try {
    return typeof descriptor === 'number' && fstatSync(descriptor).isFile();
  } catch {
    return false; // it has been closed
  }
}

const zeroWidthSpace = '\u200b';

/**
 * Keeps GitHub's runner from obeying text: it takes a line that begins with `::`, blanks before it or not, and `##[` anywhere, for
 * a command. Text comes in pieces, so where in its line the last one ended is kept.
 */
export function createCommandGuard(): (text: string) => string {
  let isLineStart = true;
  let isAfterFirstColon = false;
  let hashes = 0;
  return (text) => {
    let safe = '';
    for (const character of text) {
      if ((isAfterFirstColon && character === ':') || (hashes >= 2 && character === '[')) safe += zeroWidthSpace;
      safe += character;
      hashes = character === '#' ? hashes + 1 : 0;
      isAfterFirstColon = isLineStart && character === ':';
      isLineStart = /[\n\r]/.test(character) || (isLineStart && /[\s\u0085]/.test(character));
    }
    return safe;
  };
}

/** https://no-color.org and https://force-color.org; a dumb terminal shows none. */
function showsColour(stream: OutputStream, environment: Environment): boolean {
  if (isSet(environment['NO_COLOR'])) return false;
  const forced = environment['FORCE_COLOR'];
  if (isSet(forced)) return forced !== '0' && forced !== 'false';
  return stream.isTTY === true && environment['TERM'] !== 'dumb';
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== '';
}

const escape = String.fromCharCode(27);
const bell = String.fromCharCode(7);
/** Escape sequences (CSI, OSC within a line and those of two characters), then every control character but newline and tab. */
const controls = new RegExp(
  `${escape}(?:\\[[0-?]*[ -/]*[@-~]|\\][^${bell}${escape}\n]*(?:${bell}|${escape}\\\\)?|[@-Z\\\\^_])|[^\\P{Cc}\\n\\t]`,
  'gu',
);

function withoutControls(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(controls, '');
}
