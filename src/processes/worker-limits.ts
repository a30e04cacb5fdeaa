// When a worker ends by itself: after its one execution, without work for long, after so much time, above so much memory.
import type { WorkerConfig } from '../config/config.ts';
import { exitCodes } from '../errors.ts';
import { systemClock, type Clock } from '../lib/clock.ts';
import { formatDuration } from '../lib/duration.ts';
import type { ExecutionEnd } from '../worker/executions.ts';
import type { LostSession } from './session-upkeep.ts';
import type { SessionWorker } from './session-worker.ts';

export interface LimitReached {
  /** One sentence for the log and the status. */
  readonly reason: string;
  /** Of the worker, once it has drained. */
  readonly exitCode: number;
  /** Whether a supervisor shall start it again. */
  readonly isRetryable: boolean;
}

/** What limits are measured by. */
export type LimitedWorker = Pick<SessionWorker, 'lost'> & {
  readonly worker: Pick<SessionWorker['worker'], 'work' | 'stats'>;
};

export interface LimitDeps {
  /** Something a person should know, one sentence; it replaces the one before. */
  readonly warn: (sentence: string) => void;
  readonly clock?: Clock;
  /** Resident memory of this process. */
  readonly rssBytes?: () => number;
}

/** The end of the one execution is seen this soon; a look reads a few numbers. */
const workLookMs = 200;
const memoryLookMs = 5_000;
/** A peak that is over after two looks is one that the runtime has given back. */
const memoryLooks = 3;

/** Resolves when a limit is reached; never when none is set. Ends with the signal. Never rejects. */
export async function limitReached(
  config: WorkerConfig,
  running: LimitedWorker,
  signal: AbortSignal,
  { warn, clock = systemClock, rssBytes = () => process.memoryUsage.rss() }: LimitDeps,
): Promise<LimitReached> {
  const never = new Promise<never>(() => undefined);
  const { isOnce, idleTimeoutMs, uptimeMsMax, memoryBytesMax, drainTimeoutMs } = config;
  const startedMs = clock.elapsed();
  const checks: Promise<LimitReached | LostSession>[] = [running.lost];
  const { worker } = running;
  const watch = (everyMs: number, look: () => LimitReached | undefined): void => {
    checks.push(
      (async () => {
        for (;;) {
          await clock.sleep(everyMs, signal).catch(() => never);
          const reached = look();
          if (reached !== undefined) return reached;
        }
      })(),
    );
  };
  if (isOnce) watch(workLookMs, createOnceLook(worker, drainTimeoutMs, { clock, warn }));
  if (idleTimeoutMs !== undefined) {
    watch(Math.min(1_000, idleTimeoutMs / 4), () =>
      worker.work().idleMs >= idleTimeoutMs
        ? ended(`There was no work for ${formatDuration(idleTimeoutMs)} (--idle-timeout)`)
        : undefined,
    );
  }
  if (uptimeMsMax !== undefined) {
    watch(Math.min(1_000, uptimeMsMax / 4), () =>
      clock.elapsed() - startedMs >= uptimeMsMax
        ? ended(`The worker has run for ${formatDuration(uptimeMsMax)} (--max-uptime)`)
        : undefined,
    );
  }
  if (memoryBytesMax !== undefined)
    watch(
      memoryLookMs,
      createMemoryLook(memoryBytesMax, () => rssBytes() + (worker.stats().rssBytes ?? 0)),
    );
  return await Promise.race(checks);
}

const ended = (reason: string): LimitReached => ({ reason, exitCode: 0, isRetryable: false });

function createMemoryLook(bytesMax: number, rssBytes: () => number): () => LimitReached | undefined {
  let looksAbove = 0;
  return () => {
    const bytes = rssBytes();
    looksAbove = bytes > bytesMax ? looksAbove + 1 : 0;
    if (looksAbove < memoryLooks) return undefined;
    const reason = `The worker uses ${megabytes(bytes)} MB of memory, more than the ${megabytes(bytesMax)} of --max-memory`;
    return { reason, exitCode: exitCodes.limit, isRetryable: true };
  };
}

const megabytes = (bytes: number): number => Math.round(bytes / 1024 / 1024);

/** What --once exits with, and how the sentence about it ends. */
const onceEnds: Readonly<Record<ExecutionEnd, { readonly exitCode: number; readonly words: string }>> = {
  completed: { exitCode: 0, words: 'is completed' },
  failed: { exitCode: exitCodes.agent_failed, words: 'has failed' },
  cancelled: { exitCode: exitCodes.interrupted, words: 'was cancelled' },
  gone: { exitCode: exitCodes.agent_failed, words: 'was ended by somebody else' },
};

/**
 * The first execution is the one. Others that came although it was claimed (a control plane that knows no --once) get as long
 * as a drain to end as well; then they go on at another worker.
 */
function createOnceLook(
  worker: LimitedWorker['worker'],
  othersLimitMs: number,
  { clock, warn }: Required<Pick<LimitDeps, 'clock' | 'warn'>>,
): () => LimitReached | undefined {
  let endedMs: number | undefined;
  let othersSeen = 0;
  return () => {
    const { first, open, others } = worker.work();
    if (others > othersSeen) {
      othersSeen = others;
      const executions = others === 1 ? 'One execution' : `${others} executions`;
      warn(`${executions} more came to this worker, which is for one (--once); what came runs as well`);
    }
    if (first === null || first.end === null) return undefined;
    endedMs ??= clock.elapsed();
    if (open.length > 0 && clock.elapsed() - endedMs < othersLimitMs) return undefined;
    const { exitCode, words } = onceEnds[first.end];
    const beside = others === 0 ? '' : `, ${others} more came beside it`;
    return { reason: `The execution ${first.id} ${words} (--once)${beside}`, exitCode, isRetryable: false };
  };
}
