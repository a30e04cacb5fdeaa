// The local activity that says who holds an execution's workspace when a tool call is not taken: its worker, or this one if that is gone.
import type { Lease } from '../../agent/state.ts';
import { messageOf } from '../../errors.ts';
import { workerTaskQueue } from '../../protocol/workflow.ts';
import type { Session, WorkerDeps } from '../deps.ts';
import type { AgentActivities } from './types.ts';

/** A worker with a free slot polls every minute at least; one that was full for longer has to be in the control plane's list. */
const polledWithinMs = 90_000;
/** The workflow waits for the answer, and asks again later when there is none. */
const answerLimitMs = 5_000;

/** The tie of an execution to this worker. */
export function ownLease({ taskQueue, journalId }: Session): Lease {
  return { taskQueue: workerTaskQueue(taskQueue, journalId), journalId };
}

export function createLookAtLease(
  session: Session,
  deps: Pick<WorkerDeps, 'controlPlane' | 'publisher' | 'clock' | 'log'>,
  lastPollAgeMs: (taskQueue: string) => Promise<number>,
): AgentActivities['lookAtLease'] {
  const isAlive = async (holder: Lease): Promise<boolean> => {
    if (holder.journalId === session.journalId) return true;
    try {
      return (await isListed(holder)) ?? (await lastPollAgeMs(holder.taskQueue)) < polledWithinMs;
    } catch (error) {
      // Nobody answers: as long as it is not known to be gone, it may have the call.
      deps.log.debug('It is not known whether another worker lives', { reason: messageOf(error) });
      return true;
    }
  };
  /** Undefined when the control plane's list does not say who writes which journal: the cloud's does not. */
  const isListed = async ({ journalId }: Lease): Promise<boolean | undefined> => {
    const call = { timeoutMs: answerLimitMs, attemptsMax: 1 };
    const workers = await deps.controlPlane.listPresentQueueWorkers(session.queueId, call).catch(() => []);
    if (workers.some((worker) => worker.journal_id === journalId)) return true;
    return workers.some((worker) => worker.journal_id === session.journalId) ? false : undefined;
  };
  return async ({ executionId, callId, lease }) => {
    if (await isAlive(lease)) return lease;
    deps.log.warn('The worker that held a workspace is gone; its execution goes on here', { execution: executionId });
    deps.publisher.publish(executionId, {
      event_id: `${callId}:lease`,
      event_type: 'notice',
      data: {
        code: 'lease_moved',
        message:
          'The worker that held the workspace is gone; the execution goes on on another one with a new workspace',
      },
      timestamp: new Date(deps.clock.now()).toISOString(),
    });
    return ownLease(session);
  };
}
