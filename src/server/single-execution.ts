// Workers for one execution (`worker start --once`): an execution claims one, and a queue whose workers are all claimed takes no more.
import type { ServerDeps } from './deps.ts';
import { presentWorkers } from './present-workers.ts';
import { HttpProblem } from './problems.ts';
import type { ExecuteInput } from './store/executions.ts';
import type { QueueRecord, WorkerRecord } from './store/queues.ts';

type Deps = Pick<ServerDeps, 'store' | 'clock' | 'log' | 'wake'>;

/** For an execution that is about to be stored, in the same transaction. Throws the 409 when every worker of the queue has its one. */
export function claimWorker(deps: Deps, queue: QueueRecord, executionId: string): void {
  const workers = presentWorkers(deps, queue.id);
  // Nobody there: it waits for whoever comes. A worker for many: it takes what the others may not.
  if (workers.length === 0 || !workers.every(isSingle)) return;
  const free = workers.find((worker) => !isClaimed(deps, worker));
  if (free === undefined) {
    throw new HttpProblem(409, `The workers of the queue ${queue.name} take one execution each and have it`, {
      code: 'queue_claimed',
      hint: 'start another worker, or use another queue',
    });
  }
  deps.store.queues.describe(free.id, { ...free.body, claimed_by: executionId });
}

/** True for an execution that an agent starts from one which runs on the queue: its worker is there for both. */
export function isStartedFrom({ store }: Pick<Deps, 'store'>, queue: QueueRecord, request: ExecuteInput): boolean {
  const parent = request.user_metadata?.['parent_execution_id'];
  if ((request.depth ?? 0) === 0 || typeof parent !== 'string') return false;
  // A member's part belongs to the execution of its team.
  const execution = store.executions.find(parent.split('/')[0] ?? '');
  return execution !== null && execution.isOpen && execution.queueId === queue.id;
}

/** A worker for one execution has come: the oldest that waits for one is its. */
export function claimWaiting(deps: Deps, worker: WorkerRecord): void {
  if (!isSingle(worker)) return;
  const others = presentWorkers(deps, worker.queueId).filter(({ id }) => id !== worker.id);
  if (!others.every(isSingle)) return;
  const taken = new Set(others.map(({ body }) => body['claimed_by']));
  const waiting = deps.store.executions.openOfQueue(worker.queueId).find(({ id }) => !taken.has(id));
  if (waiting !== undefined) deps.store.queues.describe(worker.id, { ...worker.body, claimed_by: waiting.id });
}

const isSingle = ({ body }: WorkerRecord): boolean => body['single_execution'] === true;

/** Until it leaves; one whose execution was cancelled before it had begun has not had its one. */
function isClaimed({ store }: Deps, { body }: WorkerRecord): boolean {
  const claimedBy = body['claimed_by'];
  if (typeof claimedBy !== 'string') return false;
  const execution = store.executions.find(claimedBy);
  return execution !== null && (execution.isOpen || execution.startedAt !== null);
}
