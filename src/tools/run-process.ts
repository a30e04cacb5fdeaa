// Runs one child process for a tool: output in arrival order and bounded, stopped with its whole group, never hanging on a pipe.
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { sweepByMarker } from '../lib/process-tree.ts';
import { type ChildHandle, StartError, exitCodeOf } from '../lib/spawn.ts';
import { createOutputBuffer } from '../lib/text.ts';
import { callMarkerName } from '../protocol/tool.ts';
import type { ToolOutcome, ToolRun } from './tool.ts';

export interface ProcessRequest {
  readonly command: readonly string[];
  readonly cwd: string;
  /** On top of the call's environment. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** Address space of the child and each of its children; not enforced where the system has no such limit. */
  readonly memoryBytesMax?: number | undefined;
}

export interface ProcessEnd {
  /** 128 + the signal's number when a signal ended it. */
  readonly exitCode: number;
  /** stdout and stderr; bounded, without NUL. */
  readonly output: string;
  /** Set when the output was cut. */
  readonly originalBytes: number | undefined;
  /** It left processes behind, which were ended. */
  readonly hadLeftovers: boolean;
}

export type ProcessOutcome =
  | { readonly ok: true; readonly end: ProcessEnd }
  | { readonly ok: false; readonly problem: string };

/** Between SIGTERM and SIGKILL: enough to remove a lock file, short enough for a person who pressed cancel. */
const stopGraceMs = 2_000;
/** For output that is still in the pipes when the process is gone. Only a process in a session of its own keeps them open. */
const pipeDrainMs = 200;
/** Room for what the tools write around the output: the exit code and the notice about what was left out. */
const wordsBytes = 512;

export async function runProcess(request: ProcessRequest, run: ToolRun): Promise<ProcessOutcome> {
  let child: ChildHandle;
  try {
    child = await run.spawner.start({
      command: process.platform === 'win32' ? request.command : throughShell(request),
      cwd: request.cwd,
      environment: { ...run.environment, ...request.environment, [callMarkerName]: run.callId },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
    });
  } catch (error) {
    if (error instanceof StartError) return { ok: false, problem: startProblem(error, request) };
    throw error;
  }
  const buffer = createOutputBuffer({ bytesMax: Math.max(run.outputBytesMax - wordsBytes, wordsBytes) });
  const pipes = [child.stdout, child.stderr].filter((pipe) => pipe !== null);
  const ended = Promise.all(pipes.map((pipe) => collect(pipe, buffer, run)));
  const stop = (): void => void child.stop({ graceMs: stopGraceMs });
  run.signal.addEventListener('abort', stop, { once: true });
  if (run.signal.aborted) stop();

  const exit = await child.exited;
  run.signal.removeEventListener('abort', stop);
  const isDrained = await within(ended, pipeDrainMs);
  // A process in a session of its own is not in the group; it is looked for only when there is a reason.
  const strayCount = isDrained && !run.signal.aborted ? 0 : sweepByMarker(run.spawner.instanceId, [callMarkerOf(run)]);
  for (const pipe of pipes) pipe.destroy();
  return {
    ok: true,
    end: {
      exitCode: exitCodeOf(exit),
      output: buffer.text(),
      originalBytes: buffer.isTruncated ? buffer.bytesTotal : undefined,
      hadLeftovers: exit.hadLeftovers === true || strayCount > 0,
    },
  };
}

/** What a model reads of a finished process: its output, then how it ended. */
export function outcomeOf(end: ProcessEnd, tail?: number): ToolOutcome {
  const notes = [`exit code ${end.exitCode}`];
  if (end.hadLeftovers) notes.push('processes left in the background were ended');
  const text = end.output.replace(/\n$/, '');
  const lines = tail === undefined ? text : text.split('\n').slice(-tail).join('\n');
  const output = `${lines}${lines === '' ? '' : '\n'}[${notes.join('; ')}]`;
  const size = { originalBytes: end.originalBytes };
  if (end.exitCode === 0) return { status: 'success', output, ...size };
  return { status: 'failed', output, error: `The command ended with exit code ${end.exitCode}`, ...size };
}

function callMarkerOf(run: ToolRun): string {
  return `${callMarkerName}=${run.callId}`;
}

/** One pipe for both outputs, so that their lines keep their order; the limit is set where it cannot touch us. */
function throughShell(request: ProcessRequest): string[] {
  const kilobytes = request.memoryBytesMax === undefined ? undefined : Math.floor(request.memoryBytesMax / 1024);
  const limit = kilobytes === undefined ? '' : `ulimit -v ${kilobytes} 2>/dev/null || true; `;
  return ['/bin/sh', '-c', `${limit}exec "$@" 2>&1`, 'sh', ...request.command];
}

function collect(pipe: Readable, buffer: { push(chunk: Uint8Array): void }, run: ToolRun): Promise<void> {
  const decoder = new StringDecoder('utf8');
  return new Promise((resolve) => {
    pipe.on('data', (chunk: Buffer) => {
      buffer.push(chunk);
      const text = decoder.write(chunk).replaceAll('\0', '');
      if (text !== '') run.onOutput(text);
    });
    pipe.once('end', resolve);
    pipe.once('close', resolve);
  });
}

async function within(work: Promise<unknown>, limitMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), limitMs)));
  try {
    return await Promise.race([work.then(() => true), limit]);
  } finally {
    clearTimeout(timer);
  }
}

function startProblem(error: StartError, request: ProcessRequest): string {
  switch (error.reason) {
    case 'command_not_found':
      return `The program ${error.command} was not found`;
    case 'not_executable':
      return `The program ${error.command} may not be executed`;
    case 'directory_missing':
      return `The working directory ${request.cwd} does not exist`;
    case 'invalid_argument':
      return 'The command contains a NUL byte';
    case 'too_large':
      return 'The command is too long for the system; write it to a file and run the file';
    case 'resources':
      return `The machine has no resources to start a process (${error.code}); try again later`;
    case 'other':
      return `The command could not be started (${error.code})`;
  }
}
