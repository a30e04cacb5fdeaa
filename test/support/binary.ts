// The built program in tests: built once, run in a home of its own, waited for by its words, and looked for when it should be gone.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { until } from './until.ts';

const root = resolve(import.meta.dirname, '../..');
let built: string | undefined;

/** Path of the binary, built when its sources have changed. `KUBIYA_TEST_BINARY` names another one, which is not built. */
export function builtBinary(): string {
  built ??= process.env['KUBIYA_TEST_BINARY'] ?? build();
  return built;
}

function build(): string {
  const result = spawnSync('bun', ['run', 'scripts/build.ts', '--if-changed'], { cwd: root, encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`the build failed:\n${result.stdout}${result.stderr}`);
  return join(root, 'dist/kubiya');
}

/** A directory that is HOME and holds KUBIYA_HOME, whose name is in the environment of everything that runs for it. */
export interface Home {
  readonly directory: string;
  readonly kubiyaHome: string;
  /** Processes of ours and of our tools, zombies excepted. */
  processes(): readonly string[];
  /** Waits until nothing of this home runs; throws with what still does. */
  waitUntilEmpty(limitMs: number): Promise<void>;
  /** Kills what is left and deletes the directory. */
  remove(): void;
}

export function createHome(): Home {
  const directory = mkdtempSync(join(tmpdir(), 'kubiya-home-'));
  const processes = (): readonly string[] => processesNaming(directory).map(({ pid, command }) => `${pid} ${command}`);
  return {
    directory,
    kubiyaHome: join(directory, '.kubiya'),
    processes,
    waitUntilEmpty: (limitMs) =>
      until(() => processes().length === 0, {
        limitMs,
        what: () => `nothing of the home runs any more, but ${processes().join(', ')}`,
      }),
    remove: () => {
      for (const { pid } of processesNaming(directory)) tryKill(pid, 'SIGKILL');
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Every process whose environment, arguments or working directory name the directory. Linux only. */
function processesNaming(directory: string): { readonly pid: number; readonly command: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    if (!Number.isSafeInteger(pid) || pid === process.pid) return [];
    const command = readProc(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ');
    const places = [
      command,
      readProc(() => readFileSync(`/proc/${pid}/environ`, 'utf8')),
      readProc(() => readlinkSync(`/proc/${pid}/cwd`)),
    ];
    return places.some((place) => place.includes(directory)) ? [{ pid, command }] : [];
  });
}

/** A process that has just gone, or is not ours, reads as empty; so does a zombie. */
function readProc(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

export function tryKill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Epoch milliseconds at which we were told. */
  readonly atMs: number;
}

export interface RunningBinary {
  readonly pid: number;
  /** All that it has printed so far. */
  output(): string;
  readonly exited: Promise<ProcessEnd>;
  readonly hasExited: boolean;
  /** Resolves with the match; throws with the output when it exits or `limitMs` is over first. */
  waitFor(pattern: RegExp, limitMs?: number): Promise<RegExpMatchArray>;
  signal(name: NodeJS.Signals): void;
  /** Sends the signal, then waits for the end; SIGKILL after `limitMs`, which throws. */
  end(name: NodeJS.Signals, limitMs?: number): Promise<ProcessEnd>;
}

export interface BinaryOptions {
  readonly home: Home;
  /** Added to PATH, HOME and KUBIYA_HOME; undefined takes one of them away. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Words before the program: what runs it, in the same process. */
  readonly prefix?: readonly string[];
}

/** A cold start unpacks Temporal; a machine that also compiles something needs its time for it. */
const startLimitMs = 60_000;

/** Nothing of the person who runs the tests; the marker lets the test runner sweep what a killed test leaves. */
function inherited(): Record<string, string> {
  const { PATH = '', KUBIYA_INSTANCE } = process.env;
  return { PATH, ...(KUBIYA_INSTANCE === undefined ? {} : { KUBIYA_INSTANCE }) };
}

/** What is started for `options`: the program and its words. */
export function commandOf(words: readonly string[], { prefix = [] }: BinaryOptions): [string, ...string[]] {
  const [program = builtBinary(), ...rest] = [...prefix, builtBinary(), ...words];
  return [program, ...rest];
}

/** The whole environment of a program that is run for `options`. */
export function childEnvironment({ home, environment }: BinaryOptions): Record<string, string> {
  const all = { ...inherited(), HOME: home.directory, KUBIYA_HOME: home.kubiyaHome, ...environment };
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

export function startBinary(words: readonly string[], options: BinaryOptions): RunningBinary {
  const [program, ...rest] = commandOf(words, options);
  const child = spawn(program, rest, {
    cwd: options.cwd ?? options.home.directory,
    env: childEnvironment(options),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  return handleOf(child, words.join(' '));
}

function handleOf(child: ChildProcess, name: string): RunningBinary {
  const pid = child.pid;
  if (pid === undefined) throw new Error(`${name} could not be started`);
  let text = '';
  let end: ProcessEnd | undefined;
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const exited = new Promise<ProcessEnd>((done) => {
    child.once('exit', (code, signal) => {
      end = { code, signal, atMs: Date.now() };
      done(end);
    });
  });
  const describe = (): string =>
    `${name} (${end === undefined ? 'running' : (end.signal ?? end.code)}) printed:\n${text}`;
  return {
    pid,
    output: () => text,
    exited,
    get hasExited() {
      return end !== undefined;
    },
    waitFor: async (pattern, limitMs = startLimitMs) => {
      let match: RegExpMatchArray | null = null;
      const seen = (): boolean => (match = text.match(pattern)) !== null || end !== undefined;
      await until(seen, { limitMs, what: () => `${String(pattern)} in what ${describe()}` });
      // Its last words may come after its end.
      if (match === null) await new Promise((done) => setTimeout(done, 50));
      match ??= text.match(pattern);
      if (match === null) throw new Error(`${String(pattern)} never came; ${describe()}`);
      return match;
    },
    signal: (signal) => void tryKill(pid, signal),
    end: async (signal, limitMs = 30_000) => {
      tryKill(pid, signal);
      const timer = setTimeout(() => tryKill(pid, 'SIGKILL'), limitMs);
      const result = await exited;
      clearTimeout(timer);
      if (signal !== 'SIGKILL' && result.signal === 'SIGKILL')
        throw new Error(`not gone ${limitMs} ms after ${signal}; ${describe()}`);
      return result;
    },
  };
}
