// A daemon of the built program in a test: started with `worker start -d`, looked at through its records and its door.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isSameProcess } from '../../src/lib/process-tree.ts';
import type { InstanceRecord, SupervisorRecord, WorkerState } from '../../src/protocol/instance.ts';
import { askSupervisor } from '../../src/supervisor/ask.ts';
import { readInstance } from '../../src/supervisor/instance.ts';
import { readSupervisor } from '../../src/supervisor/supervisor-record.ts';
import type { Home } from '../support/binary.ts';
import { type CommandOptions, type CommandResult, runCommand } from '../support/run-binary.ts';
import { until } from '../support/until.ts';

export interface Daemon {
  readonly queue: string;
  readonly directory: string;
  /** Of supervisor and worker as they are on disk now; throws when there is none. */
  supervisor(): SupervisorRecord;
  worker(): InstanceRecord;
  /** What the supervisor says of itself now. */
  now(): Promise<SupervisorRecord | undefined>;
  /** Waits until the supervisor says so and, for `running`, has a worker that is not `previousPid`. */
  becomes(
    state: WorkerState,
    options?: { readonly previousPid?: number; readonly limitMs?: number },
  ): Promise<SupervisorRecord>;
  log(): string;
  run(words: readonly string[], options?: Partial<CommandOptions>): Promise<CommandResult>;
}

export interface DaemonOptions extends Partial<CommandOptions> {
  readonly home: Home;
  readonly words?: readonly string[];
}

/** Throws with what it printed when the start does not return 0. */
export async function startDaemon(queue: string, options: DaemonOptions): Promise<Daemon> {
  const result = await runCommand(startWords(queue, options.words), options);
  if (result.code !== 0) throw new Error(`start -d returned ${result.code}: ${result.stdout}${result.stderr}`);
  return daemonOf(queue, options.home);
}

export function startWords(queue: string, words: readonly string[] = []): readonly string[] {
  return ['worker', 'start', '--queue-id', queue, '-d', '--webui-port', '0', ...words];
}

export function daemonOf(queue: string, home: Home): Daemon {
  const directory = join(home.kubiyaHome, 'workers', queue);
  const supervisor = (): SupervisorRecord => given(readSupervisor(directory), 'supervisor');
  const now = (): Promise<SupervisorRecord | undefined> => askSupervisor(supervisor().control, 1_000);
  return {
    queue,
    directory,
    supervisor,
    worker: () => given(readInstance(directory), 'worker'),
    now,
    becomes: async (state, { previousPid, limitMs = 20_000 } = {}) => {
      let seen: SupervisorRecord | undefined;
      const isSo = async (): Promise<boolean> => {
        seen = await now();
        return seen?.state === state && seen.worker_pid !== previousPid;
      };
      await until(isSo, { limitMs, what: () => `${queue} is ${state}, it is ${JSON.stringify(seen)}` });
      return given(seen, 'answer of the supervisor');
    },
    log: () => readFileSync(join(directory, 'logs/worker.log'), 'utf8'),
    run: (words, options) => runCommand(words, { home, ...options }),
  };
}

export function isGone({ pid, start_time }: { readonly pid: number; readonly start_time: string }): boolean {
  return !isSameProcess(pid, start_time);
}

function given<Value>(value: Value | null | undefined, what: string): Value {
  if (value === null || value === undefined) throw new Error(`there is no ${what}`);
  return value;
}
