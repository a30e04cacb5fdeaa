// Runs a program that has something short to say, and waits for its end.
import { createId } from '../lib/ids.ts';
import { type ChildExit, createSpawner } from '../lib/spawn.ts';

export interface BriefRun {
  readonly exit: ChildExit;
  readonly isLate: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

export interface BriefRunOptions {
  readonly command: readonly string[];
  /** See `baseEnvironment`. */
  readonly environment: Readonly<Record<string, string>>;
  /** It is killed after this. */
  readonly limitMs: number;
}

/** Of each stream; what is beyond it is read and dropped. */
const outputLengthMax = 16_384;

/** From a program's end until what it has written before is read. */
const lastWordsMs = 500;

/** Rejects with a `StartError`. */
export async function runBriefly({ command, environment, limitMs }: BriefRunOptions): Promise<BriefRun> {
  // It ends within our patience, so neither the guardian nor a record need to know of it.
  const spawner = createSpawner({ instanceId: createId(), onStart: () => undefined, onEnd: () => undefined });
  const child = await spawner.start({ command, cwd: '/', environment, stdout: 'pipe', stderr: 'pipe' });
  let isLate = false;
  const closeStreams = (): void => void [child.stdout, child.stderr].map((stream) => stream?.destroy());
  const timer = setTimeout(() => {
    isLate = true;
    child.signalGroup('SIGKILL');
    closeStreams();
  }, limitMs);
  // A service that it started may keep its pipes open for ever.
  void child.exited.then(() => setTimeout(closeStreams, lastWordsMs).unref());
  const [exit, stdout, stderr] = await Promise.all([child.exited, textOf(child.stdout), textOf(child.stderr)]);
  clearTimeout(timer);
  return { exit, isLate, stdout, stderr };
}

async function textOf(stream: AsyncIterable<unknown> | null): Promise<string> {
  let text = '';
  try {
    for await (const chunk of stream ?? []) if (text.length < outputLengthMax) text += String(chunk);
  } catch {
    // It was closed before its end: what has been read is what there is.
  }
  return text.slice(0, outputLengthMax);
}
