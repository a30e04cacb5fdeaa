// `kubiya worker stop`: ask whoever has proven to be ours, wait until it is gone, see that nothing is left.
import { KubiyaError } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import { killGroup } from '../lib/kill-group.ts';
import { isSameProcess, processesWithMarker, sweepByMarker } from '../lib/process-tree.ts';
import { shellWord } from '../lib/text.ts';
import type { ControlAddress, InstanceRecord, StopRequest, SupervisorRecord } from '../protocol/instance.ts';
import { askStatus, askSupervisor, askToStop } from '../supervisor/ask.ts';
import { isAlive, ownerState } from '../supervisor/instance.ts';
import { type InstancePlace, readPlace } from '../supervisor/select.ts';
import type { ProcessIo } from './process-io.ts';

const pollMs = 100;
/** An answer takes milliseconds; a machine that is busy with something else may need seconds. */
const answerMsMax = 5_000;
/** With --force a process that does not answer is killed: nothing is lost by not waiting longer. */
const forcedAnswerMsMax = 1_000;
/** A process of ours that has not answered for longer than the hang limit of a supervisor will not answer any more. */
const silentMsMax = 75_000;
/** With --force a process has so long to go by itself. */
const forcedMsMax = 5_000;
/** What follows a drain: events are flushed, connections and servers closed. */
const afterDrainMs = 20_000;

export interface StopOptions {
  readonly isForced: boolean;
  /** For the drain; undefined: the worker's own. */
  readonly timeoutMs: number | undefined;
  readonly io: ProcessIo;
}

/** What `worker stop --json` prints. */
export interface StoppedWorker {
  readonly queue: string;
  /** False when nothing ran. */
  readonly was_running: boolean;
  /** Of the supervisor, or of the foreground process. */
  readonly pid: number | null;
  readonly calls_finished: number | null;
  readonly calls_stopped: number | null;
  readonly duration_ms: number;
}

/** A worker whose supervisor was killed a moment ago may just be starting another one; more than that is no moment. */
const roundsMax = 3;

/** Returns when nothing of the place runs. Throws a KubiyaError when it is not ours to stop or does not end. */
export async function stopWorker(place: InstancePlace, options: StopOptions): Promise<StoppedWorker> {
  const startMs = performance.now();
  const first = runningOf(place);
  let current = place;
  for (let round = 0, found = first; round < roundsMax && found.length > 0; round += 1) {
    // The supervisor tells its worker; with --force whoever still answers is told.
    for (const running of options.isForced ? found : found.slice(0, 1)) await askOne(running, options);
    await whileRunning(found, current, options);
    for (const marker of markersOf(current)) if (processesWithMarker(marker).length > 0) sweepByMarker(marker);
    current = readPlace(place.directory) ?? current;
    found = runningOf(current);
  }
  const drained = first.length === 0 ? undefined : current.record?.drained;
  return {
    queue: place.queue,
    was_running: first.length > 0,
    pid: first[0]?.record.pid ?? null,
    calls_finished: drained?.calls_finished ?? null,
    calls_stopped: drained?.calls_stopped ?? null,
    duration_ms: Math.round(performance.now() - startMs),
  };
}

/** A process of the place that its record, pid and start time say is alive. */
type Running =
  | { readonly kind: 'supervisor'; readonly record: SupervisorRecord }
  | { readonly kind: 'worker'; readonly record: InstanceRecord };

/** The supervisor first: it would start its worker again. */
function runningOf({ queue, record, supervisor }: InstancePlace): readonly Running[] {
  for (const one of [record, supervisor]) {
    if (one !== null && ownerState(one) === 'elsewhere')
      throw new KubiyaError(`the worker of the queue ${queue} runs in another container`, {
        kind: 'usage',
        code: 'worker_elsewhere',
        hint: 'stop it there',
      });
  }
  return [
    ...(supervisor !== null && isAlive(supervisor) ? [{ kind: 'supervisor', record: supervisor } as const] : []),
    ...(record !== null && isAlive(record) ? [{ kind: 'worker', record } as const] : []),
  ];
}

async function askOne(running: Running, { isForced, timeoutMs }: StopOptions): Promise<void> {
  const request: StopRequest = {
    rung: isForced ? 'leave' : 'drain',
    reason: isForced ? 'stopped at once by `kubiya worker stop --force`' : 'stopped by `kubiya worker stop`',
    ...(timeoutMs === undefined ? {} : { drain_timeout_ms: timeoutMs }),
  };
  const timeMs = isForced ? forcedAnswerMsMax : answerMsMax;
  const control = await provenControl(running, timeMs);
  if (control !== undefined && (await askToStop(control, request, timeMs))) return;
  const { pid, start_time } = running.record;
  if (isForced || !isSameProcess(pid, start_time)) return;
  throw new KubiyaError(`the ${running.kind} ${pid} does not answer`, {
    kind: 'timeout',
    code: 'worker_silent',
    hint: `it is frozen or just starting; \`kubiya worker stop --queue-id ${shellWord(running.record.queue)} --force\` ends it`,
  });
}

/** Where it answers, once it has said over loopback that it is the one of the record. */
async function provenControl({ kind, record }: Running, timeMs: number): Promise<ControlAddress | undefined> {
  const { control, instance_id } = record;
  if (!control) return undefined;
  const answer = await (kind === 'supervisor' ? askSupervisor : askStatus)(control, timeMs);
  return answer?.instance_id === instance_id ? control : undefined;
}

async function whileRunning(found: readonly Running[], place: InstancePlace, options: StopOptions): Promise<void> {
  const { isForced, timeoutMs, io } = options;
  const startMs = performance.now();
  let heardMs = startMs;
  let hasSaid = false;
  const alive = (): readonly Running[] => found.filter(({ record }) => isSameProcess(record.pid, record.start_time));
  for (let left = alive(); left.length > 0; left = alive()) {
    const now = performance.now();
    if (isForced && now - startMs > forcedMsMax) kill(left);
    const isLate = timeoutMs !== undefined && now - startMs > timeoutMs + afterDrainMs;
    if (!isForced && (isLate || now - heardMs > silentMsMax)) throw notStopped(left, place);
    const status = isForced ? undefined : await workerStatus(place);
    if (status !== undefined) heardMs = performance.now();
    if (status !== undefined && !hasSaid && io.isTty) {
      hasSaid = true;
      const { used } = status.slots;
      const what = used === 0 ? 'its end' : used === 1 ? '1 running call' : `${used} running calls`;
      io.writeLine(`Waiting for ${what}; Ctrl+C stops the waiting, not the stop`);
    }
    await systemClock.sleep(pollMs);
  }
}

async function workerStatus(place: InstancePlace) {
  const control = readPlace(place.directory)?.record?.control ?? place.supervisor?.worker_control;
  return control ? await askStatus(control, answerMsMax) : undefined;
}

/** The supervisor first: it would start the worker again, and a worker without a supervisor starts that again. */
function kill(left: readonly Running[]): void {
  for (const { record } of left) {
    if (isSameProcess(record.pid, record.start_time)) killGroup(record.pid, 'SIGKILL');
  }
}

function markersOf({ record, supervisor }: InstancePlace): readonly string[] {
  return [
    ...(record === null ? [] : [record.instance_id]),
    ...(supervisor === null ? [] : [`${supervisor.instance_id}.worker`, supervisor.instance_id]),
  ];
}

function notStopped(left: readonly Running[], { queue }: InstancePlace): KubiyaError {
  const who = left.map(({ kind, record }) => `${kind} ${record.pid}`).join(', ');
  return new KubiyaError(`the worker of the queue ${queue} has not ended yet (${who})`, {
    kind: 'timeout',
    code: 'worker_stop_timeout',
    hint: `it goes on stopping; see \`kubiya worker logs --queue-id ${shellWord(queue)}\`, or end it with \`kubiya worker stop --queue-id ${shellWord(queue)} --force\``,
  });
}
