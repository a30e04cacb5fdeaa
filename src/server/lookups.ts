// Finds what a path or a body names, by id or by name, or refuses with a sentence.
import type { ServerDeps } from './deps.ts';
import { HttpProblem, notFound } from './problems.ts';
import type { ExecutionRecord } from './store/executions.ts';
import type { QueueRecord } from './store/queues.ts';
import type { Resource, ResourceKind } from './store/resources.ts';

type Deps = Pick<ServerDeps, 'store'>;
/** A path parameter; Hono types it as absent where a validator stands between path and handler. */
type Name = string | undefined;

export function findResource({ store }: Deps, kind: ResourceKind, idOrName: Name = ''): Resource {
  const resource = store.resources.find(kind, idOrName);
  if (resource === null) throw notFound(kind, idOrName, kind === 'model' ? undefined : `kubiya ${kind} list`);
  return resource;
}

/** A name that several environments have means the one in `default`. */
export function findQueue({ store }: Deps, idOrName: Name = ''): QueueRecord {
  const byId = store.queues.find(idOrName);
  if (byId !== null) return byId;
  const named = store.queues.named(idOrName);
  const [only] = named;
  if (only === undefined) throw notFound('queue', idOrName, 'kubiya queue list');
  if (named.length === 1) return only;
  const defaultId = store.resources.find('environment', 'default')?.id;
  const preferred = named.find((queue) => queue.environmentId === defaultId);
  if (preferred !== undefined) return preferred;
  throw new HttpProblem(400, `${named.length} environments have a queue ${JSON.stringify(idOrName)}`, {
    code: 'queue_ambiguous',
    hint: 'use its id; `kubiya queue list` shows it',
  });
}

export function findExecution({ store }: Deps, id: Name = ''): ExecutionRecord {
  const execution = store.executions.find(id);
  if (execution === null) throw notFound('execution', id, '`kubiya execution list` lists them');
  return execution;
}
