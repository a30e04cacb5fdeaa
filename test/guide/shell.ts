// A shell as the reader of the worker guide has it: kubiya first on the PATH, a home of its own, and nobody else's processes.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { builtBinary, createHome, type Home, tryKill } from '../support/binary.ts';
import { until } from '../support/until.ts';

export interface Printed {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A line that runs until it is stopped. */
export interface RunningLine {
  output(): string;
  waitFor(pattern: RegExp): Promise<void>;
  /** When everything that the line started has closed its output. */
  readonly ended: Promise<Printed>;
}

export interface GuideShell {
  readonly home: Home;
  /** Runs lines as typed, in one `bash -c`, to their end. */
  run(lines: string, environment?: Readonly<Record<string, string>>): Promise<Printed>;
  /** The same, without waiting. */
  start(lines: string, environment?: Readonly<Record<string, string>>): RunningLine;
  stop(): Promise<void>;
}

const lineLimitMs = 50_000;

/**
 * Everything happens in a pid namespace, because the guide's `pkill -f` and `ps aux` are about every process that they see.
 * Its first process does nothing but reap.
 */
export async function openGuideShell(): Promise<GuideShell> {
  const home = createHome();
  const bin = join(home.directory, 'bin');
  mkdirSync(bin);
  symlinkSync(builtBinary(), join(bin, 'kubiya'));
  const first = spawn(
    'unshare',
    [
      '--user',
      '--map-root-user',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
      'bash',
      '-c',
      'while :; do sleep 60 & wait $!; done',
    ],
    { stdio: 'ignore' },
  );
  let init = 0;
  await until(() => (init = childOf(first.pid ?? 0)) > 0, {
    limitMs: 5_000,
    what: () => 'the namespace has a first process',
  });
  const start = (lines: string, environment: Readonly<Record<string, string>> = {}): RunningLine => {
    const enter = ['--preserve-credentials', '--user', '--mount', '--pid', '--target', String(init)];
    const child = spawn('nsenter', [...enter, 'bash', '-c', lines], {
      cwd: home.directory,
      env: { PATH: `${bin}:${process.env['PATH'] ?? ''}`, HOME: home.directory, TERM: 'dumb', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    return follow(child, lines);
  };
  return {
    home,
    start,
    run: async (lines, environment) => {
      const running = start(lines, environment);
      const timer = new Promise<never>((_, reject) => {
        setTimeout(
          () => reject(new Error(`not over after ${lineLimitMs} ms: ${lines}\n${running.output()}`)),
          lineLimitMs,
        ).unref();
      });
      return await Promise.race([running.ended, timer]);
    },
    stop: async () => {
      // The end of the first process is the end of all others in the namespace.
      tryKill(init, 'SIGKILL');
      await home.waitUntilEmpty(10_000);
      home.remove();
    },
  };
}

function follow(child: ChildProcess, lines: string): RunningLine {
  const printed = { stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (printed.stdout += chunk));
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (printed.stderr += chunk));
  let isOver = false;
  const ended = new Promise<Printed>((done) => {
    child.once('close', (code) => {
      isOver = true;
      done({ code: code ?? -1, ...printed });
    });
  });
  const output = (): string => `${printed.stdout}${printed.stderr}`;
  return {
    output,
    ended,
    waitFor: async (pattern) => {
      await until(() => pattern.test(output()) || isOver, {
        limitMs: lineLimitMs,
        what: () => `${String(pattern)} in ${output()}`,
      });
      if (!pattern.test(output())) throw new Error(`${String(pattern)} never came from ${lines}\n${output()}`);
    },
  };
}

function childOf(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
  } catch {
    // Not there yet.
    return 0;
  }
}
