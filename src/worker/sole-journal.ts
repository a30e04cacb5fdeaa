// Proves, with the control plane's list of workers, that no worker with another journal can have got a call.
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { ControlPlaneClient } from '../controlplane/client.ts';
import { errnoOf } from '../errors.ts';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import { createId } from '../lib/ids.ts';
import type { SoleJournalProof } from './calls.ts';

/** The server forgets workers that are gone after 24 h; what is older than this proves nothing. */
const knownWorkersMs = 23 * 60 * 60 * 1000;
/** The call waits for the answer; without one its outcome counts as unknown. */
const answerLimitMs = 5_000;

/** The same for every worker that writes into this directory, and gone with its records. Throws the system's error. */
export function journalIdentity(directory: string): string {
  // A copy of the directory on another machine (an image, a snapshot) is another journal.
  return `${keptId(join(directory, 'identity'))}@${hostname()}`;
}

function keptId(path: string): string {
  try {
    const kept = readFileSync(path, 'utf8').trim();
    if (kept !== '') return kept;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  const id = createId();
  writeFileAtomic(path, `${id}\n`);
  return id;
}

/** Asks the control plane each time: a worker elsewhere registers before it gets anything, so it is in the list. */
export function createSoleJournalProof(options: {
  readonly client: Pick<ControlPlaneClient, 'listKnownQueueWorkers'>;
  readonly queueId: string;
  readonly journalId: string;
  readonly now: () => number;
}): SoleJournalProof {
  const { client, queueId, journalId, now } = options;
  return async (sinceMs) => {
    if (now() - sinceMs > knownWorkersMs) return false;
    try {
      const workers = await client.listKnownQueueWorkers(queueId, { timeoutMs: answerLimitMs, attemptsMax: 1 });
      // A worker that names no journal is an older one, or the control plane does not keep what it named.
      return workers.length > 0 && workers.every((worker) => worker.journal_id === journalId);
    } catch {
      // Nobody answered: no proof.
      return false;
    }
  };
}
