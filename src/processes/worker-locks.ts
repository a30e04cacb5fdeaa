// One worker per queue on this machine: the locks that a worker holds, and the words for whoever comes second.
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { queueDirectoryName } from '../config/paths.ts';
import { KubiyaError } from '../errors.ts';
import { ensureSecureDirectory } from '../lib/secure-directory.ts';
import { shellWord } from '../lib/text.ts';
import { isAlive } from '../supervisor/instance.ts';
import { acquireLock, readLockHolder } from '../supervisor/lock.ts';
import { listWorkerPlaces, namesOf } from '../supervisor/select.ts';
import type { InstanceScope } from './instance-scope.ts';
import { supervisorLockFile } from './supervisor-charge.ts';
import type { Teardown } from './teardown.ts';

export const locksDirectory = (config: Config): string => join(config.paths.home, 'locks');

/** Two starts by one name meet here, before either has asked a server; by name and by id they meet at `lockQueue`. */
export function lockPlace(config: Config, scope: InstanceScope, typedQueue: string, teardown: Teardown): void {
  lockWorker(config, scope, { key: placeKey(typedQueue), queue: typedQueue }, teardown);
  refuseRecorded(config, typedQueue, typedQueue);
}

export function lockQueue(
  config: Config,
  scope: InstanceScope,
  queueId: string,
  typedQueue: string,
  teardown: Teardown,
): void {
  lockWorker(config, scope, { key: queueId, queue: typedQueue }, teardown);
  refuseRecorded(config, queueId, typedQueue);
}

/** What the locks of a place are called by, before the queue's id is known. */
function placeKey(typedQueue: string): string {
  return `name-${queueDirectoryName(typedQueue)}`;
}

/** Throws when a supervisor or a worker has the place, also while the supervisor is between two workers. */
export function refuseSecond(config: Config, typedQueue: string): void {
  refuseSupervised(config, { key: placeKey(typedQueue), queue: typedQueue });
  refuseRecorded(config, typedQueue, typedQueue);
}

/** What the records say, by whichever name the queue was started: locks keep nobody away once their files were removed. */
function refuseRecorded(config: Config, name: string, queue: string): void {
  for (const place of listWorkerPlaces(config.paths.workersDirectory)) {
    if (!namesOf(place).has(name)) continue;
    const { record, supervisor } = place;
    // Ours may not have written its record yet, and the one before it, which hands over, may be about to end.
    if (config.supervisedBy === undefined && supervisor !== null && isAlive(supervisor))
      throw alreadyRuns(`the supervisor ${supervisor.pid} already keeps a worker`, queue);
    if (record !== null && record.pid !== process.pid && isAlive(record))
      throw alreadyRuns(`the process ${record.pid} already runs a worker`, queue);
  }
}

interface Locked {
  /** The queue's id, or that of its place. */
  readonly key: string;
  /** As it was typed. */
  readonly queue: string;
}

function lockWorker(config: Config, scope: InstanceScope, locked: Locked, teardown: Teardown): void {
  const directory = locksDirectory(config);
  ensureSecureDirectory(directory);
  refuseSupervised(config, locked);
  const file = `${locked.key}.lock`;
  const result = acquireLock(join(directory, file), { instanceId: scope.instanceId });
  if (result.kind === 'held') {
    const owner = result.holder === undefined ? 'another process' : `the process ${result.holder.pid}`;
    throw alreadyRuns(`${owner} already runs a worker`, locked.queue);
  }
  teardown.add(`lock ${file}`, 1_000, () => result.lock.release());
}

function refuseSupervised(config: Config, { key, queue }: Locked): void {
  const holder = readLockHolder(join(locksDirectory(config), supervisorLockFile(key)));
  if (holder === undefined || holder.pid === config.supervisedBy?.reveal().pid) return;
  throw alreadyRuns(`the supervisor ${holder.pid} already keeps a worker`, queue);
}

export function alreadyRuns(what: string, queue: string): KubiyaError {
  return new KubiyaError(`${what} of the queue ${queue} on this machine`, {
    kind: 'usage',
    code: 'queue_locked',
    hint: `stop it with \`kubiya worker stop --queue-id ${shellWord(queue)}\`, or start this worker on another queue; \`kubiya worker list\` shows all`,
  });
}
