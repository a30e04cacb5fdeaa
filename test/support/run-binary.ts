// Runs one command of the built program to its end: what it printed, where, and its exit code.
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { type BinaryOptions, childEnvironment, commandOf, tryKill } from './binary.ts';

export interface CommandResult {
  /** As a shell gives it: 128 and the number of the signal that ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
}

export interface CommandOptions extends BinaryOptions {
  /** Given as stdin; without it stdin is empty. */
  readonly stdin?: string | Uint8Array;
  /** Called with the running process and a view of what it has printed so far. */
  readonly during?: (child: ChildProcess, printed: () => { stdout: string; stderr: string }) => Promise<void>;
  readonly limitMs?: number;
}

/** Nothing here takes a tenth of it on a quiet machine. */
const commandLimitMs = 50_000;

export async function runCommand(words: readonly string[], options: CommandOptions): Promise<CommandResult> {
  const startMs = performance.now();
  const [program, ...rest] = commandOf(words, options);
  const child = spawn(program, rest, {
    cwd: options.cwd ?? options.home.directory,
    env: childEnvironment(options),
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const printed = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (printed.stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (printed.stderr += chunk));
  child.stdin.on('error', () => undefined); // a command that does not read it may be gone
  child.stdin.end(options.stdin ?? '');
  const limitMs = options.limitMs ?? commandLimitMs;
  let isOverdue = false;
  const timer = setTimeout(() => {
    isOverdue = true;
    if (child.pid !== undefined) tryKill(child.pid, 'SIGKILL');
  }, limitMs);
  const exited = new Promise<number>((done) =>
    child.once('close', (code, signal) => done(code ?? 128 + (signal === null ? 0 : constants.signals[signal]))),
  );
  try {
    const [code] = await Promise.all([exited, options.during?.(child, () => printed)]);
    if (isOverdue) throw new Error(`${words.join(' ')} was not done after ${limitMs} ms: ${JSON.stringify(printed)}`);
    return { code, ...printed, durationMs: performance.now() - startMs };
  } finally {
    clearTimeout(timer);
    if (child.exitCode === null && child.pid !== undefined) tryKill(child.pid, 'SIGKILL');
  }
}
