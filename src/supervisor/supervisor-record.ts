// The supervisor's record on disk, beside that of its worker: how other programs find it.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import { ensureSecureDirectory } from '../lib/secure-directory.ts';
import { type SupervisorRecord, supervisorRecordSchema } from '../protocol/instance.ts';

const supervisorFileName = 'supervisor.json';

/** Null when there is none, or none that we understand. */
export function readSupervisor(directory: string): SupervisorRecord | null {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(join(directory, supervisorFileName), 'utf8'));
  } catch {
    // No file, not readable, or torn by whoever else writes there: no record either way.
    return null;
  }
  const parsed = v.safeParse(supervisorRecordSchema, content);
  return parsed.success ? parsed.output : null;
}

/** Throws the system's error. */
export function writeSupervisor(directory: string, record: SupervisorRecord): void {
  writeFileAtomic(join(directory, supervisorFileName), `${JSON.stringify(record, null, 2)}\n`);
}

export function removeSupervisor(directory: string): void {
  rmSync(join(directory, supervisorFileName), { force: true });
}

/** Writes the record at each change; what a full disk, a removed directory or somebody else's hand took, the next `check` puts back. */
export interface KeptSupervisorRecord {
  /** Never throws. */
  write(record: SupervisorRecord): void;
  /** Never throws. */
  check(): void;
}

export function keepSupervisorRecord(directory: string): KeptSupervisorRecord {
  let wanted: SupervisorRecord | undefined;
  let isWritten = false;
  const write = (record: SupervisorRecord): void => {
    wanted = record;
    try {
      ensureSecureDirectory(directory);
      writeSupervisor(directory, record);
      isWritten = true;
    } catch {
      // Supervision goes on without its file.
      isWritten = false;
    }
  };
  return {
    write,
    check: () => {
      if (wanted === undefined || (isWritten && readSupervisor(directory) !== null)) return;
      write(wanted);
    },
  };
}
