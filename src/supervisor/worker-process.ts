// A worker as a process of its supervisor: started as its child, or adopted after the supervisor before was killed.
import { closeSync, fchmodSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { killGroup } from '../lib/kill-group.ts';
import { isSameProcess } from '../lib/process-tree.ts';
import { createSpawner } from '../lib/spawn.ts';
import type { SupervisedWorker } from './supervise.ts';

export interface StartOptions {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** The marker that the process carries. */
  readonly marker: string;
  /** Gets what it writes outside its log. */
  readonly stderrFile: string;
}

export interface DetachedProcess extends SupervisedWorker {
  /** False when nothing is left to signal. */
  signal(name: NodeJS.Signals): boolean;
}

/** Starts a process of ours in a session of its own, with nobody's terminal and `/` under its feet. Rejects with a `StartError`. */
export async function startDetached({
  command,
  environment,
  marker,
  stderrFile,
}: StartOptions): Promise<DetachedProcess> {
  const spawner = createSpawner({ instanceId: marker, onStart: () => undefined, onEnd: () => undefined });
  const descriptor = openForAppend(stderrFile);
  const output = descriptor ?? 'ignore';
  try {
    const child = await spawner.start({ command, cwd: '/', environment, stdout: output, stderr: output });
    return {
      pid: child.pid,
      exited: child.exited,
      terminate: () => void child.signalGroup('SIGTERM'),
      kill: () => void child.signalGroup('SIGKILL'),
      signal: (name) => child.signalGroup(name),
    };
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Undefined on a disk that takes no file: what would have been written there is lost, the process is not. */
function openForAppend(path: string): number | undefined {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const descriptor = openSync(path, 'a', 0o600);
    fchmodSync(descriptor, 0o600);
    return descriptor;
  } catch {
    return undefined;
  }
}

/** Half of what a person calls at once; a look costs one read of a file in /proc. */
const adoptedPollMs = 500;

/** A worker whose parent is gone: its end can only be seen by looking, and a signal goes to nobody but the one that was adopted. */
export function adoptProcess(pid: number, startTime: string, clock: Clock): SupervisedWorker {
  const watch = async (): Promise<{ code: null; signal: null }> => {
    while (isSameProcess(pid, startTime)) await clock.sleep(adoptedPollMs);
    return { code: null, signal: null };
  };
  const signal = (name: NodeJS.Signals): void => {
    if (isSameProcess(pid, startTime)) killGroup(pid, name);
  };
  return { pid, exited: watch(), terminate: () => signal('SIGTERM'), kill: () => signal('SIGKILL') };
}
