// Finds workers of another product on a queue: histories of two products cannot be replayed by each other.
import type { Worker } from '../protocol/control-plane.ts';
import type { ControlPlaneClient } from './client.ts';
import { parseServerTime } from './time.ts';

export interface ForeignWorker {
  readonly id: string;
  /** For people: product, version and machine as far as they are known. */
  readonly description: string;
  /** It says what it is; false when nothing tells whose it is, as of an older worker of ours. */
  readonly isCertain: boolean;
  /** It has sent a heartbeat lately; one that is silent may be gone and only still listed. */
  readonly isLive: boolean;
}

/** Of a queue that does not say: what the cloud's workers use. */
const heartbeatSecondsDefault = 60;
/** A worker that has missed two heartbeats is taken for gone; the cloud lists it for longer. */
const missedHeartbeats = 2;

/** Workers that the control plane lists on the queue and that are not this program's. Rejects like the client does. */
export async function findForeignWorkers(
  client: Pick<ControlPlaneClient, 'listQueueWorkers'>,
  queueId: string,
  options: { readonly heartbeatSeconds?: number | null | undefined; readonly now?: () => number } = {},
): Promise<readonly ForeignWorker[]> {
  const silentAfterMs = (options.heartbeatSeconds ?? heartbeatSecondsDefault) * missedHeartbeats * 1000;
  const now = (options.now ?? Date.now)();
  return (await client.listQueueWorkers(queueId))
    .filter((worker) => !isOurs(worker))
    .map((worker) => {
      const beatAt = parseServerTime(worker.last_heartbeat);
      return {
        id: worker.worker_id,
        description: describe(worker),
        isCertain: isPython(worker),
        isLive: beatAt !== undefined && now - beatAt <= silentAfterMs,
      };
    });
}

/** Ours says which instance it is in every heartbeat, and names its journal where the control plane keeps that. */
function isOurs({ journal_id: journal, worker_metadata: metadata }: Worker): boolean {
  return isText(journal) || isText(metadata?.['instance_id']);
}

function isPython({ system_info: info }: Worker): boolean {
  return isText(info?.python_version);
}

function describe(worker: Worker): string {
  const { system_info: info } = worker;
  const product = isPython(worker) ? `Python worker ${info?.sdk_version ?? ''}`.trim() : 'worker of another product';
  const machine = isText(info?.hostname) ? ` on ${info.hostname}` : '';
  return `${product}${machine} (${worker.worker_id})`;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
