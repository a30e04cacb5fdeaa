// How many calls a worker runs at once: what was asked for, else the default, else what its processors and memory carry.
import type { WorkerConfig } from '../config/config.ts';
import type { ResourceLimits } from '../lib/cgroup.ts';

export interface Concurrency {
  readonly activitiesMax: number;
  readonly workflowsMax: number;
  /** Why it is not the default, one sentence; null when it is, or when it was asked for. */
  readonly reason: string | null;
}

/** A call mostly waits for a model or a program: ten of them keep one processor busy. */
const callsPerCpu = 10;
/** The worker itself, and beside it a shell or a small Python for each call. */
const workerBytes = 256 * 1024 ** 2;
const callBytes = 64 * 1024 ** 2;
/** Temporal's worker wants two for its workflows: one is for those that it still has in its cache. */
const workflowsMin = 2;

type Asked = Pick<
  WorkerConfig,
  'concurrentActivitiesMax' | 'concurrentWorkflowsMax' | 'isConcurrencyAsked' | 'cpuLimit' | 'memoryBytesMax'
>;

/** A limit only ever lowers the default, and never below one call; a value that was asked for stands. */
export function chooseConcurrency(asked: Asked, limits: ResourceLimits): Concurrency {
  const { concurrentActivitiesMax, concurrentWorkflowsMax, isConcurrencyAsked } = asked;
  const cpus = Math.min(asked.cpuLimit ?? Infinity, limits.cpus ?? Infinity);
  const memoryBytes = Math.min(asked.memoryBytesMax ?? Infinity, limits.memoryBytes ?? Infinity);
  const byCpu = Math.ceil(cpus * callsPerCpu);
  const byMemory = Math.floor((memoryBytes - workerBytes) / callBytes);
  const carried = Math.max(1, Math.min(byCpu, byMemory));
  const activitiesMax = isConcurrencyAsked.activities
    ? concurrentActivitiesMax
    : Math.min(concurrentActivitiesMax, carried);
  const workflowsMax = isConcurrencyAsked.workflows
    ? concurrentWorkflowsMax
    : Math.min(concurrentWorkflowsMax, Math.max(workflowsMin, carried));
  if (activitiesMax === concurrentActivitiesMax && workflowsMax === concurrentWorkflowsMax)
    return { activitiesMax, workflowsMax, reason: null };
  const cause =
    byCpu <= byMemory ? `${Number(cpus.toFixed(2))} processors` : `${Math.round(memoryBytes / 1024 ** 2)} MB of memory`;
  const [what, now, before] =
    activitiesMax === concurrentActivitiesMax
      ? ['workflow tasks', workflowsMax, concurrentWorkflowsMax]
      : ['calls', activitiesMax, concurrentActivitiesMax];
  return {
    activitiesMax,
    workflowsMax,
    reason: `At most ${now} ${what} run at once instead of ${before}, because there are ${cause}; MAX_CONCURRENT_ACTIVITIES and MAX_CONCURRENT_WORKFLOWS say otherwise`,
  };
}
