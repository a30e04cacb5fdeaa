// Runs the command line as a real process and collects what it prints.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { ScriptedControlPlane } from '../support/scripted-control-plane.ts';

const entry = resolve(import.meta.dirname, '../../src/main.ts');

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly environment?: Readonly<Record<string, string>>;
  /** Given as stdin; without it stdin is empty. */
  readonly stdin?: string;
  readonly cwd?: string;
  /** Called with the running process. */
  readonly during?: (child: ChildProcess) => Promise<void>;
}

export async function runCli(words: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const home = mkdtempSync(join(tmpdir(), 'kubiya-cli-'));
  const child = spawn('bun', [entry, ...words], {
    cwd: options.cwd ?? home,
    // Complete: nothing of the person who runs the tests.
    env: { PATH: process.env['PATH'] ?? '', HOME: home, ...options.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  try {
    child.stdin.on('error', () => undefined); // a command that does not read it may be gone
    child.stdin.end(options.stdin ?? '');
    const exited = new Promise<number | null>((done) => child.once('close', (code) => done(code)));
    const [code, stdout, stderr] = await Promise.all([
      exited,
      text(child.stdout).catch(() => ''), // a test may close it before its end
      text(child.stderr),
      options.during?.(child),
    ]);
    return { code, stdout, stderr };
  } finally {
    child.kill('SIGKILL');
    rmSync(home, { recursive: true, force: true });
  }
}

/** The cloud profile against a scripted control plane. */
export function against(plane: ScriptedControlPlane): Readonly<Record<string, string>> {
  return { KUBIYA_API_KEY: plane.token, CONTROL_PLANE_URL: plane.url };
}

export async function until(condition: () => boolean, limitMs = 10_000): Promise<void> {
  const startMs = performance.now();
  while (!condition()) {
    if (performance.now() - startMs > limitMs)
      throw new Error(`not true within ${limitMs} ms: ${condition.toString()}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}
