// Keeps a worker off a queue that another product's worker serves: neither can replay what the other has begun.
import type { Config } from '../config/config.ts';
import type { ControlPlaneClient } from '../controlplane/client.ts';
import { findForeignWorkers, type ForeignWorker } from '../controlplane/foreign-workers.ts';
import { KubiyaError } from '../errors.ts';
import type { Queue } from '../protocol/control-plane.ts';
import type { Log } from '../telemetry/log.ts';
import type { WorkerView } from './worker-view.ts';

export interface CoexistenceParts {
  readonly config: Config;
  readonly client: Pick<ControlPlaneClient, 'listQueueWorkers'>;
  readonly queue: Pick<Queue, 'id' | 'name' | 'heartbeat_interval'>;
  readonly view: Pick<WorkerView, 'warn'>;
  readonly log: Log;
}

const warningKey = 'foreign-worker';

/** Warns, and throws a KubiyaError (exit 2) when a live worker of another product is certain and it is not allowed. */
export async function checkCoexistence({ config, client, queue, view, log }: CoexistenceParts): Promise<void> {
  let foreign: readonly ForeignWorker[];
  try {
    foreign = await findForeignWorkers(client, queue.id, { heartbeatSeconds: queue.heartbeat_interval });
  } catch (error) {
    if (!(error instanceof KubiyaError)) throw error;
    // Registration comes next, and says it when the control plane is away.
    log.debug('The workers of the queue cannot be listed', { reason: error.message });
    return;
  }
  if (foreign.length === 0) return;
  const names = foreign.map(({ description }) => description).join(', ');
  const isBroken = foreign.some(({ isCertain, isLive }) => isCertain && isLive);
  if (isBroken && !config.worker.mayMixQueue) throw mixedQueue(queue.name, names);
  const sentence = `the queue ${queue.name} also has ${names}; executions that one of you has begun cannot go on with the other`;
  view.warn(warningKey, sentence);
  log.warn(`${sentence[0]?.toUpperCase()}${sentence.slice(1)}`);
}

function mixedQueue(queue: string, names: string): KubiyaError {
  return new KubiyaError(
    `the queue ${queue} is served by a ${names}: executions that one of you has begun cannot go on with the other`,
    {
      kind: 'usage',
      code: 'queue_mixed',
      hint: 'start this worker on a new queue and move the agents there, stop the other one first, or set KUBIYA_ALLOW_MIXED_QUEUE=true',
    },
  );
}
