// `kubiya __supervisor`: keeps one worker running. It loads nothing of the worker and nothing of the command line.
import { basename, join } from 'node:path';
import { given, processFacts, type Environment } from '../config/sources.ts';
import { exitCodes, messageOf } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import { createId } from '../lib/ids.ts';
import { sweepByMarker } from '../lib/process-tree.ts';
import { ensureSecureDirectory } from '../lib/secure-directory.ts';
import {
  livenessVariable,
  type StopRequest,
  type SupervisedBy,
  supervisedByVariable,
  type SupervisorCharge,
  supervisorChargeVariable,
  type SupervisorRecord,
} from '../protocol/instance.ts';
import { askToStop, isLive, tellSupervisor } from '../supervisor/ask.ts';
import { startControl } from '../supervisor/control.ts';
import { ownIdentity } from '../supervisor/instance.ts';
import { acquireLock, type Lock, type LockResult } from '../supervisor/lock.ts';
import type { Decision } from '../supervisor/restart-policy.ts';
import { capStderr, stderrSize, stderrTail } from '../supervisor/stderr-file.ts';
import {
  type AdoptedWorker,
  Supervision,
  type SupervisionDeps,
  type SupervisionStatus,
} from '../supervisor/supervise.ts';
import { keepSupervisorRecord, readSupervisor } from '../supervisor/supervisor-record.ts';
import { adoptProcess, startDetached } from '../supervisor/worker-process.ts';
import { version } from '../version.ts';
import { ignoreSignals, installSignals } from './signals.ts';
import { createStopRequests } from './stop-requests.ts';
import {
  chargeOf,
  environmentFor,
  programProblem,
  supervisorCommand,
  supervisorLockFile,
  workerCommand,
} from './supervisor-charge.ts';

/** A minute without an answer is no pause of a busy worker; looks every 5 s notice it within 65. */
const livenessDefault = { intervalMs: 5_000, limitMs: 60_000 };
/** A worker that stops is busy with its calls, and answers all the same. */
const stopAnswerMsMax = 3_000;
/** How often the files are looked after. */
const fileCheckMs = 3_000;
/** The supervisor before this one gives its locks back within milliseconds. */
const lockWaitMsMax = 10_000;
const lockPollMs = 50;
/** The one after it writes its record within a second of its start. */
const successorMsMax = 10_000;

/** Returns the exit code, when there is nothing left to supervise. */
export async function runSupervisor(): Promise<number> {
  const { environment } = processFacts();
  const charge = chargeOf(environment);
  if (charge === undefined) return exitCodes.internal;
  // It has no terminal; the hang-up of one is meant for others.
  ignoreSignals(['SIGHUP']);
  const signals = installSignals(['SIGTERM', 'SIGINT']);
  const locks = createLocks(charge);
  if (!(await locks.takeName())) return exitCodes.usage;
  const record = keepSupervisorRecord(charge.directory);
  const control = startControl({
    status: () => recordOf(supervision.status),
    onWorker: (message) => supervision.receive(message),
    onStop: (request) => stops.request(request),
    onRestart: async (request) =>
      (await restartProblem(charge, request)) ??
      (supervision.restart(request) ? undefined : 'the worker is being stopped'),
  });
  const identity = { ...ownIdentity(), control: control.address };
  const startedAt = new Date().toISOString();
  const recordOf = (status: SupervisionStatus): SupervisorRecord => ({
    instance_id: charge.instance_id,
    ...identity,
    version,
    queue: charge.queue,
    directory: charge.directory,
    log_file: charge.log_file,
    ...status,
    started_at: startedAt,
    stopped_at: null,
  });
  const report = (status: SupervisionStatus): void => {
    locks.takeQueue(status.queue_id);
    record.write(recordOf(status));
  };
  const deps = createDeps(charge, { environment, identity, report });
  const supervision = new Supervision(optionsOf(charge, environment), deps);
  const stops = createStopRequests(signals);
  stops.onStep(({ isSignal, ...request }) =>
    supervision.stop(isSignal ? { ...request, reason: `stopped by ${request.reason}` } : request),
  );
  const files = setInterval(() => {
    record.check();
    capStderr(charge.stderr_log_file);
  }, fileCheckMs);
  if (charge.adopted !== null) {
    const { control: address, restarts } = charge.adopted;
    void tellSupervisor(address, { ...identity, restarts }, stopAnswerMsMax);
  }
  const end = await supervision.run();
  clearInterval(files);
  signals.dispose();
  if (end.kind !== 'successor') {
    record.write({ ...recordOf(supervision.status), stopped_at: new Date().toISOString() });
    locks.release();
    await control.stop();
    return end.kind === 'failed' ? end.exitCode : 0;
  }
  locks.release();
  const problem = await startSuccessor(charge, environment);
  if (problem !== undefined) {
    const failed = { ...recordOf(supervision.status), state: 'failed', reason: problem } as const;
    record.write({ ...failed, stopped_at: new Date().toISOString() });
  }
  await control.stop();
  return problem === undefined ? 0 : exitCodes.configuration;
}

async function restartProblem(charge: SupervisorCharge, request: StopRequest): Promise<string | undefined> {
  const problem = await programProblem(charge.executable);
  const isLate = request.expires_at_ms !== undefined && Date.now() > request.expires_at_ms;
  return problem ?? (isLate ? 'whoever asked has given up' : undefined);
}

function optionsOf(charge: SupervisorCharge, environment: Environment): ConstructorParameters<typeof Supervision>[0] {
  const [intervalMs, limitMs] = (given(environment, livenessVariable) ?? '').split(',').map(Number);
  const isShortened = intervalMs !== undefined && limitMs !== undefined && intervalMs > 0 && limitMs > 0;
  const liveness = isShortened ? { intervalMs, limitMs } : livenessDefault;
  return {
    drainTimeoutMs: charge.drain_timeout_ms,
    livenessIntervalMs: liveness.intervalMs,
    livenessMsMax: liveness.limitMs,
    isFirstStartFinal: charge.occasion === 'start',
    adopted: adoptedOf(charge),
  };
}

function adoptedOf({ adopted }: SupervisorCharge): AdoptedWorker | undefined {
  if (adopted === null) return undefined;
  return {
    worker: adoptProcess(adopted.pid, adopted.start_time, systemClock),
    instanceId: adopted.instance_id,
    control: adopted.control,
    isReady: adopted.is_ready,
    queueId: adopted.queue_id,
    queueName: adopted.queue_name,
    restarts: adopted.restarts,
  };
}

interface DepsParts {
  readonly environment: Environment;
  readonly identity: Omit<SupervisedBy, 'restarts'>;
  readonly report: (status: SupervisionStatus) => void;
}

function createDeps(charge: SupervisorCharge, { environment, identity, report }: DepsParts): SupervisionDeps {
  const marker = `${charge.instance_id}.worker`;
  let stderrFrom = stderrSize(charge.stderr_log_file);
  return {
    clock: systemClock,
    random: Math.random,
    startWorker: (restarts) => {
      capStderr(charge.stderr_log_file);
      stderrFrom = stderrSize(charge.stderr_log_file);
      return startDetached({
        command: workerCommand(charge),
        environment: environmentFor(environment, {
          [supervisedByVariable]: JSON.stringify({ ...identity, restarts } satisfies SupervisedBy),
          [supervisorChargeVariable]: JSON.stringify(charge),
        }),
        marker,
        stderrFile: charge.stderr_log_file,
      });
    },
    probe: isLive,
    askToStop: (control, request) => askToStop(control, request, stopAnswerMsMax),
    report,
    afterWorker: async ({ instanceId }, decision) => {
      sweepByMarker(marker);
      if (instanceId !== undefined) sweepByMarker(instanceId);
      await writeEnd(charge, environment, { decision, lines: stderrTail(charge.stderr_log_file, stderrFrom) });
    },
  };
}

interface EndEntry {
  readonly decision: Decision;
  readonly lines: readonly string[];
}

/** The log's code is loaded when there is something to say: most supervisors never have to. */
async function writeEnd(charge: SupervisorCharge, environment: Environment, entry: EndEntry): Promise<void> {
  try {
    const { logEnd } = await import('../supervisor/crash-log.ts');
    const options = {
      path: charge.log_file,
      bytesMax: charge.log_bytes_max,
      backups: charge.log_backups_max,
      format: charge.log_format,
      secrets: secretsOf(environment),
    };
    logEnd(options, entry.decision, entry.lines);
  } catch {
    // Supervision does not end for an entry of the log.
  }
}

/** The values that a crash could have printed; a path to a file with a secret is none. */
function secretsOf(environment: Environment): readonly string[] {
  return Object.entries(environment).flatMap(([name, value]) =>
    value !== undefined && /KEY|TOKEN|SECRET|PASSWORD/i.test(name) && !name.endsWith('_FILE') ? [value] : [],
  );
}

/** From the program that is on disk now. One sentence when it could not be started. */
async function startSuccessor(charge: SupervisorCharge, environment: Environment): Promise<string | undefined> {
  const next: SupervisorCharge = { ...charge, instance_id: createId(), occasion: 'restart', adopted: null };
  try {
    const successor = await startDetached({
      command: supervisorCommand(next),
      environment: environmentFor(environment, { [supervisorChargeVariable]: JSON.stringify(next) }),
      marker: next.instance_id,
      stderrFile: charge.stderr_log_file,
    });
    let ended: { readonly code: number | null } | undefined;
    void successor.exited.then((exit) => (ended = exit));
    for (let waitedMs = 0; waitedMs < successorMsMax; waitedMs += lockPollMs) {
      const hasEnded = ended;
      if (readSupervisor(charge.directory)?.instance_id === next.instance_id) return undefined;
      if (hasEnded !== undefined)
        return `the next supervisor ended with exit code ${hasEnded.code ?? 'unknown'}, see ${charge.stderr_log_file}`;
      await systemClock.sleep(lockPollMs);
    }
    // It lives, and its file may not be written on a full disk.
    return undefined;
  } catch (error) {
    return `the next supervisor could not be started: ${messageOf(error)}`;
  }
}

interface SupervisorLocks {
  /** False when another supervisor has the place. */
  takeName(): Promise<boolean>;
  /** Once the id is known; a second call does nothing. */
  takeQueue(queueId: string): void;
  release(): void;
}

/** Two supervisors of one name meet at the first lock; by name and by id their workers meet, and the second ends before it is ready. */
function createLocks({ locks_directory: directory, ...charge }: SupervisorCharge): SupervisorLocks {
  const held: Lock[] = [];
  let lockedQueue = '';
  const take = (key: string): LockResult => {
    ensureSecureDirectory(directory);
    const result = acquireLock(join(directory, supervisorLockFile(key)), { instanceId: charge.instance_id });
    if (result.kind === 'acquired') held.push(result.lock);
    return result;
  };
  /** A full disk takes no lock: then the worker's own, which it has, keep others away, and a first start has none yet. */
  const tryTake = (key: string): boolean => {
    try {
      return take(key).kind === 'acquired';
    } catch (error) {
      if (charge.occasion === 'start') throw error;
      return true;
    }
  };
  return {
    takeName: async () => {
      const waitMsMax = charge.occasion === 'start' ? 0 : lockWaitMsMax;
      for (let waitedMs = 0; ; waitedMs += lockPollMs) {
        if (tryTake(`name-${basename(charge.directory)}`)) return true;
        if (waitedMs >= waitMsMax) return false;
        await systemClock.sleep(lockPollMs);
      }
    },
    takeQueue: (queueId) => {
      if (queueId === '' || queueId === lockedQueue) return;
      try {
        // Held by another: then our worker, which has the queue itself, is what keeps a second one away.
        if (take(queueId).kind === 'acquired') lockedQueue = queueId;
      } catch {
        // A full disk: it is tried again at the next change.
      }
    },
    release: () => {
      for (const lock of held.splice(0)) lock.release();
    },
  };
}
