// The few numbers that a person and the control plane want of a worker, the same in its log and in its heartbeats.
import type { WorkerCounters } from './meter.ts';

export interface WorkNumbers {
  readonly tasks_completed: number;
  readonly tasks_failed: number;
  readonly tasks_cancelled: number;
  /** Of an execution, waiting included; 0 before the first has ended. */
  readonly avg_duration_seconds: number;
  readonly model_calls: number;
  readonly tool_calls: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly memory_mb: number;
  /** Of one processor, since the last look. */
  readonly cpu_percent: number;
  readonly slots_used: number;
  readonly slots_max: number;
  readonly heartbeats_ok: number;
  readonly heartbeats_failed: number;
  /** Tasks that wait on the queue; null where Temporal does not say. */
  readonly backlog: number | null;
  /** Reports that wait for the control plane. */
  readonly event_queue: number;
}

export interface WorkFacts {
  readonly counters: Readonly<WorkerCounters>;
  readonly slots: { readonly used: number; readonly max: number };
  readonly heartbeats: { readonly sent: number; readonly failed: number };
  readonly backlog: number | null;
  readonly eventsQueued: number;
  /** Of a process beside this one that does a part of its work; absent when there is none. */
  readonly other?: { readonly rssBytes?: number; readonly cpuMicroseconds?: number };
}

/** Each caller has its own, because the share of the processor is that since its last look. */
export function createWorkNumbers(): (facts: WorkFacts) => WorkNumbers {
  let cpuMicroseconds = ownCpuMicroseconds();
  let lookedMs = performance.now();
  let percent = 0;
  return ({ counters, slots, heartbeats, backlog, eventsQueued, other }) => {
    const passedMs = performance.now() - lookedMs;
    if (passedMs >= cpuLookMsMin) {
      const used = ownCpuMicroseconds() + (other?.cpuMicroseconds ?? 0);
      percent = Math.max(0, Math.round((used - cpuMicroseconds) / 10 / passedMs));
      cpuMicroseconds = used;
      lookedMs = performance.now();
    }
    const ended = counters.executionsCompleted + counters.executionsFailed + counters.executionsCancelled;
    return {
      tasks_completed: counters.executionsCompleted,
      tasks_failed: counters.executionsFailed,
      tasks_cancelled: counters.executionsCancelled,
      avg_duration_seconds: ended === 0 ? 0 : Math.round(counters.executionMs / ended / 100) / 10,
      model_calls: counters.modelCalls,
      tool_calls: counters.toolCalls,
      input_tokens: counters.inputTokens,
      output_tokens: counters.outputTokens,
      memory_mb: Math.round((process.memoryUsage.rss() + (other?.rssBytes ?? 0)) / 1_048_576),
      cpu_percent: percent,
      slots_used: slots.used,
      slots_max: slots.max,
      heartbeats_ok: heartbeats.sent,
      heartbeats_failed: heartbeats.failed,
      backlog,
      event_queue: eventsQueued,
    };
  };
}

/** Two looks at once would divide by nearly nothing. */
const cpuLookMsMin = 1_000;

/** What `grep Metrics` finds in the log; the first three names are those of the worker guide. */
export function metricsLine(numbers: WorkNumbers): string {
  const { avg_duration_seconds, backlog, slots_used, slots_max, ...rest } = numbers;
  const { tasks_completed, tasks_failed, memory_mb, ...others } = rest;
  const words = {
    tasks_completed,
    tasks_failed,
    avg_duration: `${avg_duration_seconds.toFixed(1)}s`,
    memory_mb,
    slots: `${slots_used}/${slots_max}`,
    ...others,
    ...(backlog === null ? {} : { backlog }),
  };
  return `Metrics: ${Object.entries(words)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ')}`;
}

function ownCpuMicroseconds(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
