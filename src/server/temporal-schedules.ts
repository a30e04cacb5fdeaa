// Temporal's schedules, one for each job that has times: made equal to what is wanted, looked at and removed.
import { ScheduleAlreadyRunning, ScheduleNotFoundError, type Client, type ScheduleOptions } from '@temporalio/client';
import type { OverlapPolicy } from '../protocol/jobs.ts';
import { scheduledJobWorkflowType, type ScheduledJobInput } from '../protocol/workflow.ts';

/** What a job's schedule should be. */
export interface WantedSchedule {
  readonly jobId: string;
  /** Of everything here: a schedule with the same one needs no change. */
  readonly mark: string;
  readonly spec:
    | { readonly type: 'cron'; readonly expressions: readonly string[]; readonly timeZone: string }
    | { readonly type: 'interval'; readonly seconds: number };
  readonly isPaused: boolean;
  readonly overlapPolicy: OverlapPolicy;
  readonly catchUpSeconds: number;
  readonly taskQueue: string;
  readonly input: ScheduledJobInput;
}

export interface ScheduleState {
  readonly jobId: string;
  readonly mark: string;
  readonly isPaused: boolean;
  readonly nextRunAt: Date | null;
}

/** Every method rejects with a TemporalError and nothing else; `refused` for times that Temporal does not understand. */
export interface Schedules {
  /** Creates or changes it, when it is not yet so. */
  apply(wanted: WantedSchedule): Promise<void>;
  /** One that is not there is removed already. */
  remove(jobId: string): Promise<void>;
  /** Null when there is none. */
  find(jobId: string): Promise<ScheduleState | null>;
  /** All of ours; a change of the last second may be missing. */
  list(): Promise<readonly ScheduleState[]>;
}

export const scheduleIdOf = (jobId: string): string => `${scheduleIdPrefix}${jobId}`;
const scheduleIdPrefix = 'kubiya-job-';

type Run = <T>(run: () => Promise<T>) => Promise<T>;

/** `call` need not repeat while Temporal is away: job-scheduler.ts does, and who shows a job does not wait. */
export function createSchedules(
  client: Client,
  { call, workflowTaskTimeout }: { call: Run; workflowTaskTimeout: string | undefined },
): Schedules {
  const { schedule } = client;
  const optionsOf = (wanted: WantedSchedule) => scheduleOptions(wanted, workflowTaskTimeout);
  const find = async (jobId: string): Promise<ScheduleState | null> => {
    try {
      const { state, info } = await schedule.getHandle(scheduleIdOf(jobId)).describe();
      return stateOf(jobId, state, info.nextActionTimes);
    } catch (error) {
      if (error instanceof ScheduleNotFoundError) return null;
      throw error;
    }
  };
  const apply = async (wanted: WantedSchedule): Promise<void> => {
    const current = await find(wanted.jobId);
    if (current?.mark === wanted.mark && current.isPaused === wanted.isPaused) return;
    const options = optionsOf(wanted);
    if (current === null) {
      try {
        await schedule.create(options);
        return;
      } catch (error) {
        // An attempt whose answer was lost has created it.
        if (!(error instanceof ScheduleAlreadyRunning)) throw error;
      }
    }
    await schedule.getHandle(options.scheduleId).update(() => ({ ...options, state: options.state ?? {} }));
  };
  return {
    apply: (wanted) => call(() => apply(wanted)),
    remove: (jobId) =>
      call(async () => {
        try {
          await schedule.getHandle(scheduleIdOf(jobId)).delete();
        } catch (error) {
          if (!(error instanceof ScheduleNotFoundError)) throw error;
        }
      }),
    find: (jobId) => call(() => find(jobId)),
    list: () =>
      call(async () => {
        const states: ScheduleState[] = [];
        for await (const { scheduleId, state, info } of schedule.list()) {
          if (!scheduleId.startsWith(scheduleIdPrefix)) continue;
          states.push(stateOf(scheduleId.slice(scheduleIdPrefix.length), state, info.nextActionTimes));
        }
        return states;
      }),
  };
}

function stateOf(
  jobId: string,
  { paused, note }: { readonly paused: boolean; readonly note?: string },
  nextActionTimes: readonly Date[],
): ScheduleState {
  // Temporal tells the times of a paused one as well.
  return { jobId, mark: note ?? '', isPaused: paused, nextRunAt: paused ? null : (nextActionTimes[0] ?? null) };
}

const overlaps = {
  skip: 'SKIP',
  buffer_one: 'BUFFER_ONE',
  buffer_all: 'BUFFER_ALL',
  cancel_other: 'CANCEL_OTHER',
  terminate_other: 'TERMINATE_OTHER',
  allow_all: 'ALLOW_ALL',
} as const satisfies Record<OverlapPolicy, string>;

function scheduleOptions(
  wanted: WantedSchedule,
  workflowTaskTimeout: string | undefined,
): ScheduleOptions & StartsWorkflow {
  const { jobId, mark, spec, isPaused, overlapPolicy, catchUpSeconds, taskQueue, input } = wanted;
  return {
    scheduleId: scheduleIdOf(jobId),
    spec:
      spec.type === 'cron'
        ? { cronExpressions: [...spec.expressions], timezone: spec.timeZone }
        : { intervals: [{ every: spec.seconds * 1000 }] },
    policies: { overlap: overlaps[overlapPolicy], catchupWindow: catchUpSeconds * 1000 },
    state: { paused: isPaused, note: mark },
    action: {
      type: 'startWorkflow',
      workflowType: scheduledJobWorkflowType,
      // Temporal appends the time of each run.
      workflowId: `scheduled-job-${jobId}`,
      taskQueue,
      args: [input],
      ...(workflowTaskTimeout === undefined ? {} : { workflowTaskTimeout }),
    },
  };
}

interface StartsWorkflow {
  readonly action: { readonly type: 'startWorkflow' };
}
