// What is known of one execution from everywhere: its control plane, and the journals of the workers of this machine.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import type { ControlPlaneClient } from '../controlplane/client.ts';
import { KubiyaError } from '../errors.ts';
import type { Execution, Inspection } from '../protocol/control-plane.ts';
import { journalFile, readJournalFile, type JournalledCall } from '../worker/journal.ts';

export interface LocalJournal {
  readonly file: string;
  readonly calls: readonly JournalledCall[];
}

export interface ExecutionInspection {
  readonly execution: Execution;
  /** Null when this control plane cannot be asked: it is not our server. */
  readonly inspection: Inspection | null;
  /** Of the workers whose files are on this machine. */
  readonly journals: readonly LocalJournal[];
}

/** Rejects as the client does when the execution is not known. */
export async function inspectExecution(
  config: Config,
  client: Pick<ControlPlaneClient, 'getExecution' | 'inspectExecution'>,
  id: string,
): Promise<ExecutionInspection> {
  const execution = await client.getExecution(id);
  const inspection = await client.inspectExecution(id).catch((error: unknown) => {
    // The execution is there, so what is not found is the route.
    if (error instanceof KubiyaError && error.code.endsWith('not_found')) return null;
    throw error;
  });
  return { execution, inspection, journals: journalsOf(config.paths.workersDirectory, execution.id) };
}

function journalsOf(workersDirectory: string, id: string): readonly LocalJournal[] {
  if (!existsSync(workersDirectory)) return [];
  return readdirSync(workersDirectory).flatMap((queue) => {
    const file = journalFile(join(workersDirectory, queue, 'journal'), id);
    const calls = readJournalFile(file);
    return calls === null ? [] : [{ file, calls }];
  });
}
