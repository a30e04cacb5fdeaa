// When a worker ends by itself: after its one execution, without work for long, after so much time, above so much memory.
import type { WorkerConfig } from '../config/config.ts';
import type { SessionWorker } from './session-worker.ts';

export interface LimitReached {
  /** One sentence for the log and the status. */
  readonly reason: string;
  /** Of the worker, once it has drained. */
  readonly exitCode: number;
}

/** Resolves when a limit is reached; never when none is set. Ends with the signal. Never rejects. */
export function limitReached(config: WorkerConfig, running: SessionWorker, signal: AbortSignal): Promise<LimitReached> {
  void config;
  void running;
  void signal;
  return new Promise(() => undefined);
}
