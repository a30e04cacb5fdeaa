// `kubiya worker start -d`: launches a supervisor and returns when its worker is ready, or leaves nothing.
import { rmdirSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import { prepareHome, workerPaths, type WorkerPaths } from '../config/paths.ts';
import { type ErrorKind, exitCodes, KubiyaError } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import { createId } from '../lib/ids.ts';
import { sweepByMarker } from '../lib/process-tree.ts';
import {
  startDirectoryVariable,
  type SupervisorCharge,
  supervisorChargeVariable,
  type SupervisorRecord,
} from '../protocol/instance.ts';
import { askSupervisor } from '../supervisor/ask.ts';
import { removeInstance } from '../supervisor/instance.ts';
import { isPlaceAlive, readPlace } from '../supervisor/select.ts';
import { stderrSize, stderrTail } from '../supervisor/stderr-file.ts';
import { readSupervisor, removeSupervisor } from '../supervisor/supervisor-record.ts';
import { type DetachedProcess, startDetached } from '../supervisor/worker-process.ts';
import { ownExecutable } from './instance-scope.ts';
import type { ProcessIo } from './process-io.ts';
import { installSignals } from './signals.ts';
import { environmentFor, supervisorCommand } from './supervisor-charge.ts';
import { alreadyRuns, locksDirectory, refuseSecond } from './worker-locks.ts';
import { prepareWorkerPlace } from './worker-place.ts';

/** The first start unpacks Temporal, makes its database and registers; on a slow disk that took a minute. */
const readyMsMax = 180_000;
const pollMs = 100;
const answerMsMax = 2_000;
/** What follows the drain of a start that is given up, as in a container. */
const afterDrainMs = 15_000;

/** What `worker start -d --json` prints. */
export interface StartedDaemon {
  readonly queue: string;
  readonly queue_id: string;
  readonly pid: number;
  readonly worker_pid: number | null;
  readonly worker_id: string | null;
  readonly log_file: string;
  readonly webui_url: string | null;
  readonly version: string;
}

export interface DaemonOptions {
  /** The words of the command line. */
  readonly words: readonly string[];
  /** What relative paths in them are relative to. */
  readonly cwd: string;
  readonly io: ProcessIo;
}

/** Throws a KubiyaError with the worker's reason when it does not become ready; then nothing of it runs. */
export async function startDaemon(config: Config, queue: string, options: DaemonOptions): Promise<StartedDaemon> {
  prepareHome(config.paths);
  const place = workerPaths(config.paths, queue);
  refuseSecond(config, queue);
  const isNew = readPlace(place.directory) === undefined;
  prepareWorkerPlace(place);
  const charge = chargeFor(config, { queue, place, words: options.words });
  if (options.io.isTty) options.io.writeLine(`Starting the worker of the queue ${queue} in the background`);
  const stderrFrom = stderrSize(place.stderrLogFile);
  const signals = installSignals();
  const given = new AbortController();
  signals.onSignal(() => given.abort());
  try {
    const supervisor = await startDetached({
      command: supervisorCommand(charge),
      environment: environmentFor(config.childEnvironmentBase.reveal(), {
        [startDirectoryVariable]: options.cwd,
        [supervisorChargeVariable]: JSON.stringify(charge),
      }),
      marker: charge.instance_id,
      stderrFile: place.stderrLogFile,
    });
    const outcome = await ready(supervisor, charge, given.signal);
    if (outcome.kind === 'ready') return startedOf(outcome.record, place);
    await giveUp(supervisor, charge);
    // Whoever was faster has the place.
    if (isNew && !isSecond(outcome)) removeTraces(place, charge);
    throw startFailed(outcome, charge, stderrTail(place.stderrLogFile, stderrFrom));
  } finally {
    signals.dispose();
  }
}

interface ChargeParts {
  readonly queue: string;
  readonly place: WorkerPaths;
  readonly words: readonly string[];
}

function chargeFor(config: Config, { queue, place, words }: ChargeParts): SupervisorCharge {
  return {
    instance_id: createId(),
    queue,
    directory: place.directory,
    locks_directory: locksDirectory(config),
    log_file: place.logFile,
    log_bytes_max: config.log.fileBytesMax,
    log_backups_max: config.log.backupsMax,
    log_format: config.log.format,
    stderr_log_file: place.stderrLogFile,
    executable: [...ownExecutable()],
    words: [...words],
    drain_timeout_ms: config.worker.drainTimeoutMs,
    occasion: 'start',
    adopted: null,
  };
}

type Outcome =
  | { readonly kind: 'ready'; readonly record: SupervisorRecord }
  /** The supervisor has ended; its record says why, unless it never came so far. */
  | { readonly kind: 'ended'; readonly code: number | null; readonly record: SupervisorRecord | undefined }
  | { readonly kind: 'late' }
  | { readonly kind: 'interrupted' };

async function ready(supervisor: DetachedProcess, charge: SupervisorCharge, signal: AbortSignal): Promise<Outcome> {
  let end: { readonly code: number | null } | undefined;
  void supervisor.exited.then((exit) => (end = exit));
  const ownRecord = (): SupervisorRecord | null => {
    const record = readSupervisor(charge.directory);
    return record?.instance_id === charge.instance_id ? record : null;
  };
  for (const startMs = performance.now(); performance.now() - startMs < readyMsMax;) {
    if (signal.aborted) return { kind: 'interrupted' };
    if (end !== undefined) {
      const record = ownRecord() ?? undefined;
      return isReady(record) ? { kind: 'ready', record } : { kind: 'ended', code: end.code, record };
    }
    const control = ownRecord()?.control;
    const record = control === undefined ? undefined : await askSupervisor(control, answerMsMax);
    if (isReady(record)) return { kind: 'ready', record };
    await systemClock.sleep(pollMs, signal).catch(() => undefined);
  }
  return { kind: 'late' };
}

/** Also when it has ended since: a worker that takes one execution may be done before we look. */
function isReady(record: SupervisorRecord | undefined): record is SupervisorRecord {
  return typeof record?.ready_at === 'string';
}

function startedOf(record: SupervisorRecord, place: WorkerPaths): StartedDaemon {
  const instance = readPlace(place.directory)?.record;
  return {
    queue: record.queue,
    queue_id: record.queue_id,
    pid: record.pid,
    worker_pid: record.worker_pid,
    worker_id: instance?.worker_id ?? null,
    log_file: record.log_file,
    webui_url: instance?.web_url ?? null,
    version: record.version,
  };
}

/** The supervisor found the locks taken, before it had written anything. */
function isSecond(outcome: Outcome): boolean {
  return outcome.kind === 'ended' && outcome.record === undefined && outcome.code === exitCodes.usage;
}

async function giveUp(supervisor: DetachedProcess, charge: SupervisorCharge): Promise<void> {
  if (supervisor.signal('SIGTERM')) {
    const over = new AbortController();
    const limit = systemClock.sleep(charge.drain_timeout_ms + afterDrainMs, over.signal).catch(() => undefined);
    await Promise.race([supervisor.exited, limit]);
    over.abort();
    supervisor.kill();
  }
  sweepByMarker(`${charge.instance_id}.worker`);
}

/** Of a worker that never was: its log stays, because it says why, and whatever the user has put there. */
function removeTraces(place: WorkerPaths, charge: SupervisorCharge): void {
  const found = readPlace(place.directory);
  const isOurs = found?.supervisor === null || found?.supervisor.instance_id === charge.instance_id;
  // Another start, in the same moment, has the place.
  if (found !== undefined && (!isOurs || isPlaceAlive(found))) return;
  const directories = [place.workspaceDirectory, place.journalDirectory];
  const removals = [removeInstance, removeSupervisor, ...directories.map((directory) => () => rmdirSync(directory))];
  for (const remove of removals) {
    try {
      remove(place.directory);
    } catch {
      // Not empty, or not what we make there, so not ours to remove; or not there.
    }
  }
}

function startFailed(
  outcome: Exclude<Outcome, { kind: 'ready' }>,
  charge: SupervisorCharge,
  stderrLines: readonly string[],
): KubiyaError {
  const seeLog = `see ${charge.log_file}, or start it in the foreground without -d`;
  switch (outcome.kind) {
    case 'interrupted':
      return new KubiyaError('the start was interrupted, nothing was left running', {
        kind: 'interrupted',
        code: 'start_interrupted',
      });
    case 'late':
      return new KubiyaError(`the worker was not ready within ${readyMsMax / 1000} s and was stopped`, {
        kind: 'timeout',
        code: 'worker_not_ready',
        hint: seeLog,
      });
    case 'ended':
      if (isSecond(outcome)) return alreadyRuns('another start was faster, it has a worker', charge.queue);
      return new KubiyaError(outcome.record?.reason ?? endedWithoutReason(outcome.code, stderrLines), {
        kind: kindOf(outcome.record?.exit_code),
        code: 'worker_start_failed',
        hint: outcome.record?.hint ?? seeLog,
      });
  }
}

/** What a program that fails to load has to say is in the file of its stderr. */
function endedWithoutReason(code: number | null, stderrLines: readonly string[]): string {
  const said = stderrLines.find((line) => /^\w*error: /i.test(line)) ?? stderrLines.at(-1);
  return `the supervisor ended with exit code ${code ?? 'unknown'}${said === undefined ? '' : `: ${said}`}`;
}

function kindOf(exitCode: number | null | undefined): ErrorKind {
  const found = Object.entries(exitCodes).find(([, code]) => code === exitCode);
  // The names of the table are the kinds.
  return (found?.[0] as ErrorKind | undefined) ?? 'internal';
}
