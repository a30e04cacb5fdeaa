// One worker per queue on this machine: the locks that a worker holds, and the words for whoever comes second.
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { queueDirectoryName } from '../config/paths.ts';
import { KubiyaError } from '../errors.ts';
import { ensureSecureDirectory } from '../lib/secure-directory.ts';
import { acquireLock } from '../supervisor/lock.ts';
import type { InstanceScope } from './instance-scope.ts';
import type { Teardown } from './teardown.ts';

/** Two starts by one name meet here, before either has asked a server; by name and by id they meet at `lockQueue`. */
export function lockPlace(config: Config, scope: InstanceScope, typedQueue: string, teardown: Teardown): void {
  lockWorker(config, scope, { file: `name-${queueDirectoryName(typedQueue)}.lock`, queue: typedQueue }, teardown);
}

export function lockQueue(
  config: Config,
  scope: InstanceScope,
  queueId: string,
  typedQueue: string,
  teardown: Teardown,
): void {
  lockWorker(config, scope, { file: `${queueId}.lock`, queue: typedQueue }, teardown);
}

function lockWorker(
  config: Config,
  scope: InstanceScope,
  { file, queue }: { readonly file: string; readonly queue: string },
  teardown: Teardown,
): void {
  const directory = join(config.paths.home, 'locks');
  ensureSecureDirectory(directory);
  const result = acquireLock(join(directory, file), { instanceId: scope.instanceId });
  if (result.kind === 'held') {
    const owner = result.holder === undefined ? 'another process' : `the process ${result.holder.pid}`;
    throw new KubiyaError(`${owner} already runs a worker of the queue ${queue} on this machine`, {
      kind: 'usage',
      code: 'queue_locked',
      hint: 'see `kubiya worker list`; stop it with `kubiya worker stop`, or start this worker on another queue',
    });
  }
  teardown.add(`lock ${file}`, 1_000, () => result.lock.release());
}
