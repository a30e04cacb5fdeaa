// The only door to child processes: own process group, instance marker, complete environment, no way to leak a listener.
import { type ChildProcess, spawn as spawnChild, spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { constants } from 'node:os';
import type { Duplex, Readable, Writable } from 'node:stream';
import { killGroup } from './kill-group.ts';

/** Every child carries `KUBIYA_INSTANCE=<instance id>`, so that a sweep finds it even in a session of its own. */
export const instanceMarkerName = 'KUBIYA_INSTANCE';

/** Who must know about process groups while they live (the guardian and the record on disk). Must not throw. */
export interface SpawnScope {
  readonly instanceId: string;
  /** Called in the same turn as the start, before anything is written to the child. */
  onStart(pgid: number): void;
  /** Called once the leader is gone and what was left of its group has been killed. */
  onEnd(pgid: number): void;
}

export interface SpawnOptions {
  /** Program and arguments; a program without a slash is looked up in `environment.PATH`. */
  readonly command: readonly string[];
  readonly cwd: string;
  /** The complete environment; nothing is inherited. The instance marker is added. */
  readonly environment: Readonly<Record<string, string>>;
  /** `data` is written and the pipe closed. Default: ignore. */
  readonly stdin?: 'ignore' | 'pipe' | { readonly data: string | Uint8Array };
  /** A number is a file descriptor of ours that the child gets. Default: ignore. */
  readonly stdout?: 'pipe' | 'ignore' | number;
  readonly stderr?: 'pipe' | 'ignore' | number;
  /** For a child of ours: a pipe in both directions, which it finds as descriptor 3. Default false. */
  readonly hasChannel?: boolean;
  /**
   * Default true: the child leads a session and process group of its own, which ends with it. False leaves it in our
   * group: a terminal's Ctrl+C reaches it, and only its own pid can be signalled.
   */
  readonly isDetachedGroup?: boolean;
}

export interface ChildExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** The leader left processes in its group, which have been killed. */
  readonly hadLeftovers?: true;
}

export interface ChildHandle {
  readonly pid: number;
  /** Null unless asked for as a pipe. Read stdout and stderr to their end: a full pipe stops the child. */
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  /** Null unless asked for. */
  readonly channel: Duplex | null;
  /** Resolves when the leader is gone, never rejects. Output may still be in the pipes: wait for their `end`. */
  readonly exited: Promise<ChildExit>;
  /** False when nobody is left to signal. */
  signalGroup(signal: NodeJS.Signals): boolean;
  /** SIGTERM to the group, `graceMs` to end, SIGKILL. Resolves when the leader is gone; may be called again. */
  stop(options: { readonly graceMs: number }): Promise<void>;
}

export interface Spawner {
  readonly instanceId: string;
  /** Rejects with a `StartError` when the command cannot be started; then no process exists. */
  start(options: SpawnOptions): Promise<ChildHandle>;
}

export type StartFailureReason =
  | 'command_not_found'
  | 'not_executable'
  | 'directory_missing' // the working directory
  | 'invalid_argument' // a NUL byte in an argument or the environment
  | 'too_large' // arguments and environment are over the kernel's limit
  | 'resources' // no more processes, file descriptors or memory
  | 'other';

/** The command could not be started. An expected failure: the caller turns `reason` into words for its reader. */
export class StartError extends Error {
  override readonly name = 'StartError';
  readonly reason: StartFailureReason;
  /** The errno code, `ENOENT`. */
  readonly code: string;
  readonly command: string;

  constructor(reason: StartFailureReason, code: string, command: string, cause: unknown) {
    super(`${command} could not be started (${code})`, { cause });
    this.reason = reason;
    this.code = code;
    this.command = command;
  }
}

/** Builds the door for one instance of ours. */
export function createSpawner(scope: SpawnScope): Spawner {
  return { instanceId: scope.instanceId, start: (options) => startChild(options, scope) };
}

async function startChild(options: SpawnOptions, scope: SpawnScope): Promise<ChildHandle> {
  const [program = '', ...programArguments] = options.command;
  const isGroup = options.isDetachedGroup ?? true;
  const stdin = options.stdin ?? 'ignore';
  let child: ChildProcess;
  try {
    child = spawnChild(program, programArguments, {
      cwd: options.cwd,
      env: { ...options.environment, [instanceMarkerName]: scope.instanceId },
      stdio: [
        stdin === 'ignore' ? 'ignore' : 'pipe',
        options.stdout ?? 'ignore',
        options.stderr ?? 'ignore',
        ...(options.hasChannel === true ? (['pipe'] as const) : []),
      ],
      detached: isGroup,
      windowsHide: true,
    });
  } catch (error) {
    // Bun and Node throw some failures (E2BIG, ENOEXEC, NUL bytes) and emit others.
    throw startErrorOf(error, program, options.cwd);
  }
  const { pid } = child;
  if (pid === undefined) {
    const error = await new Promise<unknown>((resolve) => child.once('error', resolve));
    throw startErrorOf(error, program, options.cwd);
  }
  return handleOf(child, pid, isGroup, stdin, scope);
}

function handleOf(
  child: ChildProcess,
  pid: number,
  isGroup: boolean,
  stdin: NonNullable<SpawnOptions['stdin']>,
  scope: SpawnScope,
): ChildHandle {
  let hasExited = false;
  const exited = new Promise<ChildExit>((resolve) => {
    child.once('exit', (code, signal) => {
      hasExited = true;
      const hadLeftovers = isGroup && killGroup(pid, 'SIGKILL');
      if (isGroup) scope.onEnd(pid);
      resolve({ code, signal, ...(hadLeftovers ? { hadLeftovers } : {}) });
    });
  });
  if (isGroup) scope.onStart(pid);
  const channel = (child.stdio[3] ?? null) as Duplex | null;
  // After a start the only 'error' is a signal that could not be sent, and a pipe that the child closed early
  // (EPIPE, ECONNRESET) shows in its exit code: neither may end our process.
  for (const emitter of [child, child.stdin, child.stdout, child.stderr, channel])
    emitter?.on('error', () => undefined);
  if (typeof stdin === 'object') child.stdin?.end(stdin.data);

  const signalGroup = (signal: NodeJS.Signals): boolean => {
    if (isGroup) return killGroup(pid, signal);
    return !hasExited && child.kill(signal);
  };
  return {
    pid,
    stdin: typeof stdin === 'object' ? null : child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    channel,
    exited,
    signalGroup,
    stop: async ({ graceMs }) => {
      signalGroup('SIGTERM');
      if (hasExited) return;
      const timer = setTimeout(() => signalGroup('SIGKILL'), graceMs);
      await exited;
      clearTimeout(timer);
    },
  };
}

function startErrorOf(error: unknown, program: string, cwd: string): StartError {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'UNKNOWN';
  return new StartError(reasonOf(code, cwd), code, program, error);
}

function reasonOf(code: string, cwd: string): StartFailureReason {
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      // The kernel answers ENOENT for a missing directory as well as for a missing program.
      return isDirectory(cwd) ? 'command_not_found' : 'directory_missing';
    case 'EACCES':
    case 'EPERM':
    case 'ENOEXEC':
      return 'not_executable';
    case 'ERR_INVALID_ARG_VALUE':
    case 'ERR_INVALID_ARG_TYPE':
      return 'invalid_argument';
    case 'E2BIG':
      return 'too_large';
    case 'EAGAIN':
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOMEM':
      return 'resources';
    default:
      return 'other';
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** A few system commands (`ps`) are asked for facts; longer than this means a machine in trouble. */
const factTimeoutMs = 5_000;
/** `ps -E` of a busy machine is about 2 MB; more than this is not read. */
const factBytesMax = 32 * 1024 * 1024;

/** Output of a short-lived system command that only reads; null when it is missing, slow or fails. Blocks. */
export function readCommandOutput(command: readonly string[]): string | null {
  const [program = '', ...programArguments] = command;
  const result = spawnSync(program, programArguments, {
    env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: factTimeoutMs,
    maxBuffer: factBytesMax,
    encoding: 'utf8',
  });
  return result.status === 0 ? result.stdout : null;
}

/** Names that a child may get from our environment; everything else (keys, NODE_OPTIONS, LD_PRELOAD) stays with us. */
const inheritedNames: ReadonlySet<string> = new Set(
  [
    'PATH HOME LANG LANGUAGE TZ TERM USER LOGNAME SHELL TMPDIR SSL_CERT_FILE SSL_CERT_DIR',
    'HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy',
    // Windows programs do not start without these.
    'SystemRoot SYSTEMROOT ComSpec COMSPEC PATHEXT Path TEMP TMP USERPROFILE USERNAME',
  ].flatMap((names) => names.split(' ')),
);

/** The part of our environment that children get: an allow-list. */
export function baseEnvironment(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const allowed: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && (inheritedNames.has(name) || name.startsWith('LC_'))) allowed[name] = value;
  }
  return allowed;
}

/** Exit code of a shell for a child that a signal ended: 128 + its number. */
export function exitCodeOf(exit: ChildExit): number {
  if (exit.code !== null) return exit.code;
  const numbers: Readonly<Record<string, number>> = constants.signals;
  return 128 + (numbers[exit.signal ?? ''] ?? 0);
}
