// Finds the queue that the user named by id or by name.
import type { ControlPlaneClient } from '../controlplane/client.ts';
import { KubiyaError } from '../errors.ts';
import type { Queue } from '../protocol/control-plane.ts';

type QueueClient = Pick<ControlPlaneClient, 'getQueue' | 'listQueues' | 'listEnvironments' | 'createQueue'>;

export interface QueueQuery {
  /** As typed: an id or a name. */
  readonly queue: string;
  /** Names resolve in this environment; an id in any. */
  readonly environmentName: string;
  /** In the local profile an unknown name becomes a queue. */
  readonly mayCreate: boolean;
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export async function resolveQueue(client: QueueClient, query: QueueQuery, signal: AbortSignal): Promise<Queue> {
  if (uuid.test(query.queue)) return client.getQueue(query.queue, { signal });
  const [queues, environments] = await Promise.all([
    client.listQueues({ signal }),
    client.listEnvironments({ signal }),
  ]);
  const environment = environments.find(
    ({ name, id }) => name === query.environmentName || id === query.environmentName,
  );
  const named = queues.filter((queue) => queue.name === query.queue);
  const found =
    named.find((queue) => queue.environment_id === environment?.id) ?? (named.length === 1 ? named[0] : undefined);
  if (found !== undefined) return found;
  if (named.length > 1) throw ambiguous(query, named.length);
  if (!query.mayCreate || environment === undefined) throw unknown(query, queues);
  return client.createQueue(environment.id, { name: query.queue }, { signal });
}

function ambiguous(query: QueueQuery, count: number): KubiyaError {
  return new KubiyaError(
    `${count} queues are named ${query.queue}, none of them in the environment ${query.environmentName}`,
    {
      kind: 'usage',
      code: 'queue_ambiguous',
      hint: 'give the id of the queue, or set ENVIRONMENT_NAME; `kubiya queue list` prints them',
    },
  );
}

function unknown(query: QueueQuery, queues: readonly Queue[]): KubiyaError {
  const names = queues.map((queue) => queue.name).slice(0, 10);
  const known = names.length === 0 ? 'there are no queues yet' : `the queues are ${names.join(', ')}`;
  return new KubiyaError(`there is no queue ${query.queue} in the environment ${query.environmentName}: ${known}`, {
    kind: 'api_refused',
    code: 'queue_not_found',
    hint: 'create it with `kubiya queue create`, or give the id of another',
  });
}
