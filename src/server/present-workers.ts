// The workers of a queue that are really there: those of this machine are looked at, the others are believed by their heartbeats.
import * as v from 'valibot';
import { isSameProcess, machineIdentity, pidNamespace } from '../lib/process-tree.ts';
import { workerStartRequestSchema } from '../protocol/control-plane.ts';
import type { ServerDeps } from './deps.ts';
import type { WorkerRecord } from './store/queues.ts';

type Deps = Pick<ServerDeps, 'store' | 'clock' | 'log' | 'wake'>;

/** From its registration to its first heartbeat a worker connects to Temporal, which takes a second, or ten on a bad line. */
const firstHeartbeatMsMax = 10_000;

/** Status of a worker that ended without a word, until a successor takes over what it held. */
export const vanishedStatus = 'vanished';

/** The live ones, and those on their way. */
export function presentWorkers(deps: Deps, queueId: string): WorkerRecord[] {
  dropDeadWorkers(deps, queueId);
  const { store, clock } = deps;
  const isStarting = (worker: WorkerRecord): boolean =>
    worker.lastHeartbeatMs === null &&
    worker.registeredAtMs > clock.now() - firstHeartbeatMsMax &&
    store.queues.findWorker(worker.id) !== null;
  return [...store.queues.liveWorkers(queueId), ...store.queues.knownWorkers(queueId).filter(isStarting)];
}

/** A worker of this machine that was killed need not be waited for until its heartbeats are missed. */
export function dropDeadWorkers({ store, log, wake }: Deps, queueId: string): void {
  for (const worker of store.queues.liveWorkers(queueId)) {
    if (!isKnownDead(worker)) continue;
    // What it held is still to be taken over.
    store.queues.describe(worker.id, { ...worker.body, status: vanishedStatus });
    store.queues.disconnect(worker.id);
    log.info('A worker of this machine is gone without a word', { worker: worker.id });
    wake();
  }
}

export function dropAllDeadWorkers(deps: Deps): void {
  for (const { id } of deps.store.queues.list()) dropDeadWorkers(deps, id);
}

function isKnownDead({ body }: WorkerRecord): boolean {
  const told = v.safeParse(workerStartRequestSchema.entries.process, body['process']);
  if (!told.success || !told.output) return false;
  const { pid, start_time, pid_namespace, machine } = told.output;
  if (machine !== machineIdentity() || pid_namespace !== pidNamespace()) return false;
  return !isSameProcess(pid, start_time);
}
