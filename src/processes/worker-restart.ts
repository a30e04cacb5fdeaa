// `kubiya worker restart`: the supervisor drains its worker and hands over to the program that is on disk now.
import type { Paths } from '../config/paths.ts';
import { KubiyaError } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import { isSameProcess } from '../lib/process-tree.ts';
import { shellWord } from '../lib/text.ts';
import type { SupervisorRecord } from '../protocol/instance.ts';
import { askToRestart } from '../supervisor/ask.ts';
import { isAlive } from '../supervisor/instance.ts';
import { type InstancePlace, selectWorkerPlace } from '../supervisor/select.ts';
import { readSupervisor } from '../supervisor/supervisor-record.ts';

const pollMs = 100;
/** Loading a new program, draining excepted; a cold start of the local control plane included. */
const restartMsMax = 180_000;
/** A supervisor that was killed while its worker drained has no successor. */
const successorMsMax = 15_000;

/** What `worker restart --json` prints. */
export interface RestartedWorker {
  readonly queue: string;
  readonly pid: number;
  readonly worker_pid: number | null;
  readonly version: string;
  readonly previous_pid: number;
  readonly previous_version: string;
}

/** Drains the worker, then starts supervisor and worker from the program that is on disk now; returns when it is ready. */
export async function restartWorker(paths: Paths, queue: string | undefined): Promise<RestartedWorker> {
  const place = selectWorkerPlace(paths.workersDirectory, queue);
  const before = place.supervisor;
  if (before === null || !isAlive(before)) throw notSupervised(place);
  const request = { rung: 'drain', reason: 'restarted by `kubiya worker restart`' } as const;
  const problem = await askToRestart(before.control, request, programAnswerMsMax);
  if (problem !== undefined)
    throw new KubiyaError(`the worker cannot be restarted: ${problem}`, {
      kind: 'configuration',
      code: 'restart_refused',
      hint: 'it runs on as before; `kubiya worker status` shows it',
    });
  const after = await successorOf(place, before);
  return {
    queue: place.queue,
    pid: after.pid,
    worker_pid: after.worker_pid,
    version: after.version,
    previous_pid: before.pid,
    previous_version: before.version,
  };
}

/** The supervisor asks the new program for its version first, which may come from a cold disk. */
const programAnswerMsMax = 15_000;

async function successorOf(place: InstancePlace, before: SupervisorRecord): Promise<SupervisorRecord> {
  let startedMs: number | undefined;
  for (;;) {
    const isDrained = !isSameProcess(before.pid, before.start_time);
    if (isDrained) startedMs ??= performance.now();
    const record = readSupervisor(place.directory);
    if (record !== null && record.instance_id !== before.instance_id) {
      if (record.state === 'running') return record;
      if (record.state !== 'starting') throw notRestarted(place, record);
    } else if (isDrained && typeof record?.stopped_at === 'string') {
      // A stop came after the restart, or the program could not be started any more.
      throw notRestarted(place, record);
    }
    const limitMs = record?.instance_id === before.instance_id ? successorMsMax : restartMsMax;
    if (startedMs !== undefined && performance.now() - startedMs > limitMs) throw notRestarted(place, record);
    await systemClock.sleep(pollMs);
  }
}

function notRestarted({ queue }: InstancePlace, record: SupervisorRecord | null): KubiyaError {
  const state = record === null ? '' : `: it is ${record.state}${record.reason === null ? '' : `, ${record.reason}`}`;
  return new KubiyaError(`the worker of the queue ${queue} was stopped, but its successor is not ready${state}`, {
    kind: 'configuration',
    code: 'restart_failed',
    hint: `see \`kubiya worker status --queue-id ${shellWord(queue)}\`, or start it with \`kubiya worker start --queue-id ${shellWord(queue)} -d\``,
  });
}

function notSupervised(place: InstancePlace): KubiyaError {
  const { queue, record } = place;
  const isForeground = record !== null && isAlive(record);
  return new KubiyaError(
    isForeground
      ? `the worker of the queue ${queue} runs in the foreground (pid ${record.pid})`
      : `no worker of the queue ${queue} is running`,
    {
      kind: 'usage',
      code: isForeground ? 'worker_in_foreground' : 'worker_not_running',
      hint: isForeground
        ? 'stop it where it was started and start it there again'
        : `start it with \`kubiya worker start --queue-id ${shellWord(queue)} -d\``,
    },
  );
}
