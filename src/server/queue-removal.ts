// Removes worker queues, at a user's wish or because an ephemeral one has been left alone.
import type { ServerDeps } from './deps.ts';
import type { QueueRecord } from './store/queues.ts';

type RemovalDeps = Pick<ServerDeps, 'store' | 'wake'>;

/** Together with what waits for it: nobody would ever run that. */
export function removeQueue({ store, wake }: RemovalDeps, queue: QueueRecord): void {
  store.transaction(() => {
    for (const execution of store.executions.openOfQueue(queue.id)) store.executions.requestCancel(execution.id);
    store.queues.delete(queue.id);
  });
  wake();
}

/** Removes ephemeral queues that have had no live worker for their time. */
export function removeAbandonedQueues(deps: RemovalDeps & Pick<ServerDeps, 'clock' | 'log'>): void {
  const { queues } = deps.store;
  for (const queue of queues.list()) {
    if (!queue.isEphemeral || queue.autoCleanupAfterSeconds === null) continue;
    if (queues.liveWorkers(queue.id).length > 0) continue;
    const lastUsedMs = Math.max(Date.parse(queue.createdAt), queues.lastLiveAtMs(queue.id) ?? 0);
    if (deps.clock.now() - lastUsedMs < queue.autoCleanupAfterSeconds * 1000) continue;
    removeQueue(deps, queue);
    deps.log.info('An ephemeral queue was removed', { queue: queue.name });
  }
}
