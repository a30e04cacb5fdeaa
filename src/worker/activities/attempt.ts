// One attempt of an activity at a call: heartbeats while it waits, and what the attempt's own end means for the call.
import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import type { FailureType } from '../../agent/state.ts';
import { KubiyaError, messageOf } from '../../errors.ts';
import {
  fatalFailureType,
  ownerExecutionId,
  passingFailureType,
  type ExecutionStatus,
} from '../../protocol/workflow.ts';
import type { StopReason } from '../calls.ts';
import type { WorkerDeps } from '../deps.ts';

export interface Attempt {
  /** Temporal's attempt number, from 1. */
  readonly number: number;
  /** When the first attempt was scheduled. */
  readonly scheduledAtMs: number;
  /** False when Temporal may have given this attempt up, and the call to somebody else. */
  readonly mayBegin: () => boolean;
}

export interface AttemptedCall {
  readonly executionId: string;
  readonly callId: string;
  readonly heartbeatEveryMs: number;
  /** Whether this attempt was lost on its way for too long, or this process stood still; asked once, at its beginning. */
  readonly isLate?: (delayMs: number) => boolean;
}

/**
 * Runs `work` (a call of the registry) for this attempt. A user's cancel stops the call and waits for its end. An attempt
 * that the server gave up (timed out, not found after an outage) leaves its slot while the call goes on: the next
 * attempt attaches to it, unless a user has terminated the execution.
 */
export async function runAttempt<Result>(
  { executionId, callId, heartbeatEveryMs, isLate }: AttemptedCall,
  { calls: registry, controlPlane, log, clock }: Pick<WorkerDeps, 'calls' | 'controlPlane' | 'log' | 'clock'>,
  work: (attempt: Attempt) => Promise<Result>,
): Promise<Result> {
  const context = Context.current();
  const stopIfTerminated = async (): Promise<void> => {
    try {
      const { status } = await controlPlane.getExecution(ownerExecutionId(executionId));
      if (status.toLowerCase() === ('terminated' satisfies ExecutionStatus)) registry.stop(callId, 'cancelled');
    } catch (error) {
      // Nobody says that it was terminated: the call goes on to its own end.
      log.debug('It is not known whether the execution was terminated', {
        execution: executionId,
        reason: messageOf(error),
      });
    }
  };
  const { attempt, scheduledTimestampMs, currentAttemptScheduledTimestampMs, heartbeatTimeoutMs } = context.info;
  let isOver = isLate?.(clock.now() - currentAttemptScheduledTimestampMs) ?? false;
  let beatAtMs = clock.elapsed();
  const beat = (): void => {
    beatAtMs = clock.elapsed();
    context.heartbeat();
  };
  const isSilent = (): boolean => clock.elapsed() - beatAtMs > (heartbeatTimeoutMs ?? Number.POSITIVE_INFINITY);
  const heartbeats = setInterval(beat, heartbeatEveryMs);
  const abandoned = new Promise<never>((_resolve, reject) => {
    context.cancellationSignal.addEventListener('abort', () => {
      const details = context.cancellationDetails;
      if (details?.cancelRequested === true) registry.stop(callId, 'cancelled' satisfies StopReason);
      // A shutdown of this worker is the drain ladder's business: it decides when calls stop.
      else if (details?.workerShutdown !== true) {
        isOver = true;
        reject(new CancelledFailure('This attempt is over for the server'));
        if (details?.notFound === true) void stopIfTerminated();
      }
    });
  });
  abandoned.catch(() => undefined);
  try {
    const mayBegin = (): boolean => !isOver && !isSilent();
    const result = work({ number: attempt, scheduledAtMs: scheduledTimestampMs, mayBegin });
    result.catch(() => undefined); // may end after this attempt was abandoned
    return await Promise.race([result, abandoned]);
  } catch (error) {
    throw asFailure(error);
  } finally {
    clearInterval(heartbeats);
  }
}

/** Trouble that passes: Temporal tries again after `delayMs`. */
export function passing(message: string, delayMs: number): ApplicationFailure {
  return ApplicationFailure.create({
    message,
    type: passingFailureType,
    nextRetryDelay: Math.max(1, Math.round(delayMs)),
  });
}

/** A user's error ends the execution with its sentence; passing network trouble is tried again; the rest is a bug Temporal retries. */
export function asFailure(error: unknown): unknown {
  if (!(error instanceof KubiyaError)) return error;
  if (error.isRetryable || error.kind === 'network')
    return ApplicationFailure.create({ message: error.message, type: passingFailureType, cause: error });
  return ApplicationFailure.create({
    message: error.message,
    type: fatalFailureType,
    nonRetryable: true,
    details: [failureTypeOf(error), error.hint],
  });
}

function failureTypeOf(error: KubiyaError): FailureType {
  if (error.code === 'disk_full') return 'disk_full';
  switch (error.kind) {
    case 'authentication':
    case 'configuration':
    case 'network':
    case 'limit':
    case 'timeout':
      return error.kind;
    default:
      return 'agent';
  }
}
