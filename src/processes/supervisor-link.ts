// A supervised worker's line to its supervisor: it says what becomes of it, so that neither a full disk nor a lost file hides it.
import { KubiyaError, messageOf } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import { createId } from '../lib/ids.ts';
import { isSameProcess } from '../lib/process-tree.ts';
import {
  type SupervisedBy,
  type SupervisorCharge,
  supervisorChargeVariable,
  type WorkerMessage,
} from '../protocol/instance.ts';
import { tellOfWorker } from '../supervisor/ask.ts';
import { startDetached } from '../supervisor/worker-process.ts';
import type { Environment } from '../config/sources.ts';
import type { Log } from '../telemetry/log.ts';
import { environmentFor, supervisorCommand } from './supervisor-charge.ts';

export interface SupervisorLink {
  /** Undefined in a worker without a supervisor. */
  readonly supervisor: SupervisedBy | undefined;
  /** Resolves when it was told or cannot be. Never rejects. */
  tell(message: WorkerMessage): Promise<void>;
  /** Another supervisor looks after this worker from now on. */
  follow(supervisor: SupervisedBy): void;
}

/** The supervisor does nothing but listen; one that needs longer is frozen, and the worker must not wait for it. */
const tellMsMax = 2_000;

/** A link for a worker without a supervisor tells nobody. */
export function createSupervisorLink(supervisedBy: SupervisedBy | undefined): SupervisorLink {
  let supervisor = supervisedBy;
  let last: WorkerMessage | undefined;
  return {
    get supervisor() {
      return supervisor;
    },
    tell: async (message) => {
      last = message;
      // It is frozen or gone when this fails: whoever looks after the supervisor notices that by other means.
      if (supervisor !== undefined) await tellOfWorker(supervisor.control, message, tellMsMax);
    },
    follow: (next) => {
      supervisor = next;
      // What it was charged with may be older than what the one before was told.
      if (last !== undefined) void tellOfWorker(next.control, last, tellMsMax);
    },
  };
}

/** A look costs one read of a file in /proc; with the start of a supervisor it keeps the gap well below five seconds. */
const watchPollMs = 1_000;
/** A new supervisor loads in 0.1 s and waits up to 10 s for the locks of the old one. */
const adoptionMsMax = 12_000;

export interface SupervisorWatchOptions {
  readonly link: SupervisorLink;
  readonly charge: SupervisorCharge;
  readonly environment: Environment;
  readonly log: Log;
  /** This worker as it is now. */
  readonly worker: () => NonNullable<SupervisorCharge['adopted']>;
}

/** Starts another supervisor whenever the present one is gone. Resolves when the signal aborts; never rejects. */
export async function watchSupervisor(options: SupervisorWatchOptions, signal: AbortSignal): Promise<void> {
  const { link, log } = options;
  const isThere = (): boolean =>
    link.supervisor === undefined || isSameProcess(link.supervisor.pid, link.supervisor.start_time);
  const pause = (): Promise<void> => systemClock.sleep(watchPollMs, signal).catch(() => undefined);
  while (!signal.aborted) {
    await pause();
    if (signal.aborted || isThere()) continue;
    log.warn('The supervisor is gone, another one is started', { pid: link.supervisor?.pid });
    try {
      await startSupervisor(options);
      for (let waitedMs = 0; waitedMs < adoptionMsMax && !isThere() && !signal.aborted; waitedMs += watchPollMs)
        await pause();
      if (isThere()) log.info('Another supervisor looks after this worker', { pid: link.supervisor?.pid });
    } catch (error) {
      log.error('No supervisor could be started', { reason: messageOf(error) });
    }
  }
}

async function startSupervisor({ charge, environment, worker }: SupervisorWatchOptions): Promise<void> {
  const next: SupervisorCharge = { ...charge, instance_id: createId(), occasion: 'adopt', adopted: worker() };
  await startDetached({
    command: supervisorCommand(next),
    environment: environmentFor(environment, { [supervisorChargeVariable]: JSON.stringify(next) }),
    marker: next.instance_id,
    stderrFile: next.stderr_log_file,
  });
}

interface LastWords {
  readonly code: number;
  readonly reason: string;
  readonly isRetryable: boolean;
  readonly hint?: string | undefined;
}

export function lastWords({ code, reason, isRetryable, hint }: LastWords): WorkerMessage {
  return {
    type: 'ending',
    pid: process.pid,
    exit_code: code,
    reason,
    hint: hint ?? null,
    is_retryable: isRetryable,
  };
}

/** What is wrong with the configuration or the credentials stays wrong; a full disk or a silent server may pass, and so may a bug. */
export function failedStart(error: unknown): WorkerMessage {
  if (!(error instanceof KubiyaError)) return lastWords({ code: 70, reason: messageOf(error), isRetryable: true });
  const isForGood = ['usage', 'authentication', 'api_refused', 'configuration'].includes(error.kind);
  const isRetryable = !isForGood || error.isRetryable || error.code === 'directory_unusable';
  return lastWords({ code: error.exitCode, reason: error.message, hint: error.hint, isRetryable });
}
