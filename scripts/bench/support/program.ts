// Runs a command of the binary to its end and notes when its output began.
import { now, type Lab } from './lab.ts';

export interface ProgramRun {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** When the first bytes of stdout came, and the first that contain `text`. */
  readonly firstOutputAt: number;
  readonly textAt: number;
  readonly endedAt: number;
}

/** Throws when it fails. */
export async function runProgram(lab: Lab, words: readonly string[], text: string): Promise<ProgramRun> {
  const startedAt = now();
  const child = Bun.spawn([lab.binary, ...words], {
    cwd: lab.home,
    env: lab.environment,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const problems = new Response(child.stderr).text();
  const decoder = new TextDecoder();
  let firstOutputAt = Number.NaN;
  let textAt = Number.NaN;
  let output = '';
  for await (const bytes of child.stdout as AsyncIterable<Uint8Array>) {
    if (output === '') firstOutputAt = now();
    output += decoder.decode(bytes, { stream: true });
    if (Number.isNaN(textAt) && output.includes(text)) textAt = now();
  }
  const code = await child.exited;
  const endedAt = now();
  if (code !== 0) throw new Error(`kubiya ${words.join(' ')} ended with ${code}:\n${output}${await problems}`);
  return { startedAt, firstOutputAt, textAt, endedAt };
}
