// Gives a killed worker's calls to its successor at once, which would otherwise wait for the heartbeats and queues to time out.
import { messageOf } from '../errors.ts';
import type { ServerDeps } from './deps.ts';
import { vanishedStatus } from './present-workers.ts';
import type { WorkerRecord } from './store/queues.ts';

/** What one worker holds at once is far less; the rest is found by its timeouts, as without this. */
const executionsMax = 200;
const callsAtOnceMax = 8;

/** Registration waits so long: the successor has taken no call yet, so an attempt that runs is not its own. */
const takeoverMsMax = 3_000;

/**
 * A journal belongs to one process at a time (the lock of its queue), so whoever registered with the same one before is dead.
 * To be awaited before the successor is told that it is registered: then no attempt of its own can be failed by mistake.
 * Never rejects: what is left undone here, Temporal's timeouts do a few seconds later.
 */
export async function takeOver(deps: ServerDeps, successor: WorkerRecord): Promise<void> {
  const { store, temporal, log, clock } = deps;
  try {
    const dead = predecessors(deps, successor);
    if (dead.length === 0) return;
    for (const { id, body } of dead) {
      store.queues.describe(id, { ...body, status: 'gone' });
      store.queues.disconnect(id);
    }
    const held = store.executions.openOfQueue(successor.queueId).filter(({ isWorkflowStarted }) => isWorkflowStarted);
    const ids = held.slice(0, executionsMax).map(({ workflowId }) => workflowId);
    const workerIds = dead.map(({ id }) => id);
    const over = new AbortController();
    const lane = async (): Promise<void> => {
      for (let id = ids.pop(); id !== undefined && !over.signal.aborted; id = ids.pop()) {
        // One that has just ended must not keep the others waiting.
        await temporal
          .release(id, workerIds, over.signal)
          .catch((error: unknown) => leftToTimeouts(log, successor, error));
      }
    };
    const lanes = Promise.all(Array.from({ length: callsAtOnceMax }, lane));
    await Promise.race([lanes, clock.sleep(takeoverMsMax, over.signal).catch(() => undefined)]).finally(() =>
      over.abort(),
    );
    log.info('A worker took over from one that vanished', { worker: successor.id, executions: held.length });
  } catch (error) {
    leftToTimeouts(log, successor, error);
  }
}

function leftToTimeouts(log: ServerDeps['log'], { id }: WorkerRecord, error: unknown): void {
  log.debug('A takeover is left to the timeouts', { worker: id, reason: messageOf(error) });
}

function predecessors({ store }: ServerDeps, successor: WorkerRecord): WorkerRecord[] {
  const journal = successor.body['journal_id'];
  if (typeof journal !== 'string' || journal === '') return [];
  return store.queues
    .knownWorkers(successor.queueId)
    .filter(
      ({ id, body }) =>
        id !== successor.id &&
        body['journal_id'] === journal &&
        (body['status'] === vanishedStatus || store.queues.findWorker(id) !== null),
    );
}
