// One run of the `claude` program: its prompt through standard input, its lines as they come, and its whole process tree gone at the end.
import { createLineSplitter } from '../../lib/lines.ts';
import { sleep } from '../../lib/backoff.ts';
import { sweepByMarker } from '../../lib/process-tree.ts';
import { type ChildHandle, exitCodeOf, type Spawner, StartError } from '../../lib/spawn.ts';
import { cutTail } from '../../lib/text.ts';
import { callMarkerName } from '../../protocol/tool.ts';
import { type ClaudeLine, type ClaudeResult, parseClaudeLine } from './stream.ts';

export interface ClaudeRequest {
  /** Without the program; see `claudeArguments`. */
  readonly words: readonly string[];
  readonly prompt: string;
  readonly callId: string;
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly limitMs: number;
}

export interface ClaudeRun {
  readonly result: ClaudeResult | undefined;
  readonly exitCode: number;
  /** The end of what it wrote to its standard error, or why it was not started. */
  readonly words: string;
  readonly isTimeUp: boolean;
}

/** It saves its session when it is told to stop. */
const stopGraceMs = 5_000;
/** An image that it has read is one line of base64. */
const lineLengthMax = 32 * 1024 * 1024;
const stderrBytesMax = 8 * 1024;
/** For what is still in the pipe when the program is gone; whoever took the marker off itself may keep it open for ever. */
const pipeDrainMs = 1_000;
/** As a shell says it. */
const notStartedCode = 127;

/** `onLine` must not throw. Aborting the signal stops it. */
export async function runClaude(
  request: ClaudeRequest,
  { spawner, signal }: { readonly spawner: Spawner; readonly signal: AbortSignal },
  onLine: (line: ClaudeLine) => void,
): Promise<ClaudeRun> {
  let child: ChildHandle;
  try {
    child = await spawner.start({
      command: ['claude', ...request.words],
      cwd: request.cwd,
      environment: { ...request.environment, [callMarkerName]: request.callId },
      stdin: { data: `${JSON.stringify(userMessage(request.prompt))}\n` },
      stdout: 'pipe',
      stderr: 'pipe',
    });
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    return {
      result: undefined,
      exitCode: notStartedCode,
      words: `it could not be started (${error.code})`,
      isTimeUp: false,
    };
  }
  const heard = listen(child, onLine);
  let isTimeUp = false;
  const stop = (): void => void child.stop({ graceMs: stopGraceMs });
  const timer = setTimeout(() => {
    isTimeUp = true;
    stop();
  }, request.limitMs);
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    const exit = await child.exited;
    // Whoever left its group may still hold the pipe.
    sweepByMarker(spawner.instanceId, [`${callMarkerName}=${request.callId}`]);
    await Promise.race([heard.drained, sleep(pipeDrainMs)]);
    child.stdout?.destroy();
    child.stderr?.destroy();
    return { result: heard.result(), exitCode: exitCodeOf(exit), words: heard.stderr(), isTimeUp };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
}

function listen(child: ChildHandle, onLine: (line: ClaudeLine) => void) {
  let result: ClaudeResult | undefined;
  let stderr = '';
  const splitter = createLineSplitter({
    lineLengthMax,
    onLine: (text) => {
      const line = parseClaudeLine(text);
      if (line === undefined) return;
      if (line.type === 'result') result = line;
      onLine(line);
    },
  });
  child.stdout?.on('data', (chunk: Uint8Array) => splitter.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => (stderr = cutTail(stderr + chunk.toString('utf8'), stderrBytesMax)));
  const drained = new Promise<void>((resolve) => {
    child.stdout?.once('close', () => {
      splitter.flush();
      resolve();
    });
  });
  return { drained, result: () => result, stderr: () => stderr.trim() };
}

const userMessage = (text: string): object => ({
  type: 'user',
  message: { role: 'user', content: [{ type: 'text', text }] },
});
