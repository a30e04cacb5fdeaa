// The directories of a worker, made before anything writes into them.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WorkerPaths } from '../config/paths.ts';
import { KubiyaError, messageOf } from '../errors.ts';
import { ensureSecureDirectory } from '../lib/secure-directory.ts';
import { ephemeralQueuePrefix } from '../protocol/instance.ts';
import { sweepDeadInstances } from '../supervisor/instance.ts';

export function prepareWorkerPlace(place: WorkerPaths): void {
  const directories = [place.directory, place.logsDirectory, place.workspaceDirectory, place.journalDirectory];
  try {
    for (const directory of directories) {
      ensureSecureDirectory(directory);
      proveSpace(directory);
    }
  } catch (error) {
    throw new KubiyaError(`the directory ${place.directory} cannot be used: ${messageOf(error)}`, {
      kind: 'configuration',
      code: 'directory_unusable',
      hint: 'free some space or set KUBIYA_HOME to another directory',
      cause: error,
    });
  }
}

/** More than one block of any file system we know, so that it is not the rest of a block that makes room for it. */
const proofBytes = 8_192;

/** Throws the system's error: a disk that is full is better said now than by the first call that cannot be written down. */
function proveSpace(directory: string): void {
  const proof = join(directory, '.space');
  try {
    writeFileSync(proof, Buffer.alloc(proofBytes), { mode: 0o600 });
  } finally {
    rmSync(proof, { force: true });
  }
}

/** Ends what dead workers of this machine left running; the directory of a crashed `exec --local` nobody will use again. */
export function sweepLeftovers(workersDirectory: string): void {
  for (const record of sweepDeadInstances(workersDirectory)) {
    if (record.queue.startsWith(ephemeralQueuePrefix)) rmSync(record.directory, { recursive: true, force: true });
  }
}
