// What `kubiya worker logs` shows: the log of one worker of this machine, running or not.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Paths, workerPaths } from '../config/paths.ts';
import { KubiyaError } from '../errors.ts';
import { selectWorkerPlace } from '../supervisor/select.ts';
import { coloured } from '../telemetry/log.ts';
import { lineLevel, type LogLevel, type ParsedEntry, parseLine } from '../telemetry/log-line.ts';
import { createLineFilter, readLog } from '../telemetry/log-reader.ts';

export interface WorkerLogOptions {
  /** As typed; undefined for the only worker here. */
  readonly queue: string | undefined;
  /** The last so many; undefined gives all. */
  readonly linesMax: number | undefined;
  readonly sinceMs: number | undefined;
  readonly level: LogLevel | undefined;
  readonly pattern: RegExp | undefined;
  readonly execution: string | undefined;
  readonly isFollowing: boolean;
  readonly signal: AbortSignal;
}

/** Batches of lines, without their newline. Throws a KubiyaError when there is no such worker, or no log of it. */
export function readWorkerLog(paths: Paths, options: WorkerLogOptions): AsyncGenerator<readonly string[], void> {
  const path = logPath(paths, options);
  if (!options.isFollowing && !existsSync(path) && !existsSync(`${path}.1`)) {
    throw new KubiyaError(`the worker has no log: ${path}`, {
      kind: 'agent_failed',
      code: 'log_missing',
      hint: 'it is written from the next start on; --follow waits for it',
    });
  }
  return readLog({ ...options, path, matches: createLineFilter(options) });
}

function logPath(paths: Paths, { queue, isFollowing }: WorkerLogOptions): string {
  try {
    const { directory } = selectWorkerPlace(paths.workersDirectory, queue);
    return join(directory, 'logs', 'worker.log');
  } catch (error) {
    // Somebody who follows may be there before the worker is.
    const mayCome = isFollowing && error instanceof KubiyaError && error.code === 'worker_not_found';
    if (!mayCome || queue === undefined) throw error;
    return workerPaths(paths, queue).logFile;
  }
}

/** The line with its level in colour, if it is an entry of the text format. */
export function colouredLine(line: string): string {
  const level = lineLevel(line);
  return level === undefined ? line : coloured(line, level);
}

/** The same keys for both formats; a line that is no entry has only its text. */
export function lineObject(line: string): { readonly [Key in keyof ParsedEntry]: ParsedEntry[Key] | null } {
  return parseLine(line) ?? { time: null, level: null, component: null, message: line, fields: {} };
}
