// Reads from Temporal what the workflow of an execution is doing and why it is not: pending calls, failed tasks, pollers.
import type { Client } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import * as v from 'valibot';
import type { Inspection, PendingActivity } from '../protocol/control-plane.ts';

/** The part of an inspection that only Temporal knows. */
export type WorkflowDetails = Pick<
  Inspection,
  'run_id' | 'event_count' | 'history_bytes' | 'turn' | 'workflow_task' | 'activities' | 'pollers'
>;

/** A workflow task that failed and is tried again and again. */
export interface TaskTrouble {
  readonly attempt: number;
  /** Temporal's name of it, in snake_case: `non_deterministic_error`. */
  readonly cause: string;
  readonly message: string;
}

export type Decode = (payload: temporal.api.common.v1.IPayload) => Promise<unknown>;

type Description = temporal.api.workflowservice.v1.IDescribeWorkflowExecutionResponse;
type HistoryEvent = temporal.api.history.v1.IHistoryEvent;
type TaskFailure = NonNullable<NonNullable<Inspection['workflow_task']>['failure']>;

const { enums } = temporal.api;
/** A turn is two dozen events; calls that run and the last task's failure are in these. */
const tailEventsMax = 200;
/** A message of a failure holds a stack sometimes; this much says it. */
const messageCharactersMax = 1_000;
/** A history of another version never passes, so its first failure tells; other failures may pass with the worker that has them. */
const stuckFromAttempt = { nonDeterministic: 2, other: 3 };
/** Temporal's own housekeeping, after which the same task succeeds. */
const harmlessCauses: ReadonlySet<string> = new Set([
  'unhandled_command',
  'reset_sticky_task_queue',
  'force_close_command',
  'failover_close_command',
  'reset_workflow',
]);
/** As many as a leader may lead (worker/activities/subject.ts). */
const membersMax = 50;
const timedOut = 'timed_out';

/** Null when neither its workflow task nor that of a member of its team fails again and again. */
export async function troubleOf(
  client: Client,
  workflowId: string,
  description: Description,
): Promise<TaskTrouble | null> {
  const own = await ownTroubleOf(client, workflowId, description);
  if (own !== null) return own;
  for (const memberId of memberIdsOf(description)) {
    const trouble = await ownTroubleOf(client, memberId, await describeWorkflow(client, memberId));
    if (trouble !== null) return trouble;
  }
  return null;
}

async function ownTroubleOf(
  client: Client,
  workflowId: string,
  { pendingWorkflowTask: task }: Description,
): Promise<TaskTrouble | null> {
  const attempt = task?.attempt ?? 0;
  if (attempt < stuckFromAttempt.nonDeterministic) return null;
  const failure = taskFailureIn(await readTail(client, workflowId));
  if (failure === null || failure.cause === timedOut) return null;
  const isCertain = failure.cause === 'non_deterministic_error';
  if (!isCertain && attempt < stuckFromAttempt.other) return null;
  return { attempt, cause: failure.cause, message: failure.message };
}

/** Of an open or a closed workflow, with the calls of its team's members. Rejects as Temporal's client does. */
export async function readDetails(
  client: Client,
  decode: Decode,
  { workflowId, taskQueue }: { readonly workflowId: string; readonly taskQueue: string },
): Promise<WorkflowDetails> {
  const { description, tail, turn, activities: own } = await readWorkflow(client, decode, workflowId);
  const members = await Promise.all(memberIdsOf(description).map((id) => readWorkflow(client, decode, id)));
  const activities = [...own, ...members.flatMap((member) => member.activities)];
  const { workflowExecutionInfo: info } = description;
  const queues = new Set([taskQueue, ...activities.flatMap(({ task_queue: queue }) => queue ?? [])]);
  const pollers = await Promise.all([...queues].map((queue) => readPollers(client, queue)));
  return {
    run_id: info?.execution?.runId ?? null,
    event_count: Number(info?.historyLength ?? 0),
    history_bytes: Number(info?.historySizeBytes ?? 0),
    turn,
    workflow_task: taskOf(description, tail),
    activities,
    pollers: pollers.flat(),
  };
}

async function readWorkflow(client: Client, decode: Decode, workflowId: string) {
  const [description, tail] = await Promise.all([describeWorkflow(client, workflowId), readTail(client, workflowId)]);
  const calls = await callsIn(tail, decode);
  const pending = description.pendingActivities ?? [];
  const activities = await Promise.all(pending.map((one) => activityOf(one, calls.byActivity, decode)));
  return { description, tail, turn: calls.newestTurn, activities };
}

function describeWorkflow(client: Client, workflowId: string): Promise<Description> {
  const { namespace } = client.options;
  return client.workflowService.describeWorkflowExecution({ namespace, execution: { workflowId } });
}

/** The child workflows of a team's leader that are open. */
function memberIdsOf({ pendingChildren }: Description): readonly string[] {
  return (pendingChildren ?? []).slice(0, membersMax).flatMap(({ workflowId }) => workflowId ?? []);
}

/** Newest first. */
async function readTail(client: Client, workflowId: string): Promise<readonly HistoryEvent[]> {
  const { history } = await client.workflowService.getWorkflowExecutionHistoryReverse({
    namespace: client.options.namespace,
    execution: { workflowId },
    maximumPageSize: tailEventsMax,
  });
  return history?.events ?? [];
}

/** Why the newest workflow task did not succeed; the attempts after its first leave no event. */
function taskFailureIn(tail: readonly HistoryEvent[]): TaskFailure | null {
  let timeout: TaskFailure | null = null;
  for (const event of tail) {
    if (event.workflowTaskCompletedEventAttributes) return timeout;
    const { workflowTaskFailedEventAttributes: failed, workflowTaskTimedOutEventAttributes: over } = event;
    const cause = failed ? nameOf(enums.v1.WorkflowTaskFailedCause, failed.cause, 'WORKFLOW_TASK_FAILED_CAUSE_') : '';
    if (failed && !harmlessCauses.has(cause)) {
      const message = shortened(failed.failure?.message ?? '');
      return { cause, message, at: timeOf(event.eventTime) };
    }
    // A worker that ends leaves such a timeout behind; it is the last word only when there is no failure.
    const message = 'The worker that had it did not answer in time';
    if (over && over.timeoutType === enums.v1.TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE)
      timeout ??= { cause: timedOut, message, at: timeOf(event.eventTime) };
  }
  return timeout;
}

function taskOf(
  { pendingWorkflowTask: task }: Description,
  tail: readonly HistoryEvent[],
): Inspection['workflow_task'] {
  if (!task) return null;
  const isStarted = task.state === enums.v1.PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED;
  return {
    state: isStarted ? 'started' : 'scheduled',
    attempt: task.attempt ?? 1,
    scheduled_at: timeOf(task.scheduledTime),
    started_at: isStarted ? timeOf(task.startedTime) : null,
    failure: taskFailureIn(tail),
  };
}

interface Call {
  readonly callId: string | null;
  readonly toolName: string | null;
  readonly turn: number | null;
  readonly taskQueue: string | null;
}

/** What of the input of callModel and callTool is looked at (worker/activities/types.ts). */
const callInputSchema = v.object({
  turn: v.number(),
  callId: v.optional(v.string()),
  call: v.optional(v.object({ callId: v.string(), name: v.string() })),
});

async function callsIn(
  tail: readonly HistoryEvent[],
  decode: Decode,
): Promise<{ readonly byActivity: ReadonlyMap<string, Call>; readonly newestTurn: number | null }> {
  const byActivity = new Map<string, Call>();
  let newestTurn: number | null = null;
  for (const { activityTaskScheduledEventAttributes: scheduled } of tail) {
    const payload = scheduled?.input?.payloads?.[0];
    if (!scheduled?.activityId || !payload) continue;
    const input = v.safeParse(callInputSchema, await decode(payload));
    if (!input.success) continue;
    const { turn, callId, call } = input.output;
    byActivity.set(scheduled.activityId, {
      callId: call?.callId ?? callId ?? null,
      toolName: call?.name ?? null,
      turn,
      taskQueue: scheduled.taskQueue?.name ?? null,
    });
    newestTurn ??= turn;
  }
  return { byActivity, newestTurn };
}

async function activityOf(
  activity: temporal.api.workflow.v1.IPendingActivityInfo,
  calls: ReadonlyMap<string, Call>,
  decode: Decode,
): Promise<PendingActivity> {
  const id = activity.activityId ?? '';
  const call = calls.get(id);
  const state = stateOf(activity.state);
  const beat = activity.heartbeatDetails?.payloads?.[0];
  const failure = activity.lastFailure;
  const type = failure?.applicationFailureInfo?.type || (failure?.timeoutFailureInfo ? 'timeout' : undefined);
  return {
    activity_id: id,
    type: activity.activityType?.name ?? '',
    state,
    attempt: activity.attempt ?? 1,
    attempts_max: activity.maximumAttempts || null,
    call_id: call?.callId ?? null,
    tool_name: call?.toolName ?? null,
    turn: call?.turn ?? null,
    task_queue: call?.taskQueue ?? null,
    next_attempt_at: state === 'scheduled' ? timeOf(activity.nextAttemptScheduleTime ?? activity.scheduledTime) : null,
    last_started_at: timeOf(activity.lastStartedTime),
    last_heartbeat_at: timeOf(activity.lastHeartbeatTime),
    heartbeat: beat ? await decode(beat) : null,
    last_worker: activity.lastWorkerIdentity || null,
    last_failure: failure ? { message: shortened(failure.message ?? ''), type: type ?? null } : null,
  };
}

function stateOf(state: temporal.api.enums.v1.PendingActivityState | null | undefined): PendingActivity['state'] {
  switch (state) {
    case enums.v1.PendingActivityState.PENDING_ACTIVITY_STATE_STARTED:
      return 'started';
    case enums.v1.PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED:
      return 'cancel_requested';
    case enums.v1.PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED:
    case enums.v1.PendingActivityState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED:
      return 'paused';
    default:
      return 'scheduled';
  }
}

async function readPollers(client: Client, name: string): Promise<Inspection['pollers']> {
  const kinds = [
    ['workflow', enums.v1.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW],
    ['activity', enums.v1.TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY],
  ] as const;
  const lists = kinds.map(async ([kind, taskQueueType]) => {
    const { namespace } = client.options;
    const { pollers } = await client.workflowService.describeTaskQueue({
      namespace,
      taskQueue: { name },
      taskQueueType,
    });
    return pollers.map(({ identity, lastAccessTime }) => ({
      identity: identity ?? '',
      kind,
      last_seen_at: timeOf(lastAccessTime),
    }));
  });
  return (await Promise.all(lists)).flat();
}

function timeOf(
  time: { readonly seconds?: unknown; readonly nanos?: number | null } | null | undefined,
): string | null {
  const seconds = Number(time?.seconds ?? 0);
  return seconds > 0 ? new Date(seconds * 1000 + Math.floor((time?.nanos ?? 0) / 1e6)).toISOString() : null;
}

function nameOf(constants: Readonly<Record<number, string>>, value: number | null | undefined, prefix: string): string {
  return (constants[value ?? 0] ?? 'unknown').replace(prefix, '').toLowerCase();
}

function shortened(text: string): string {
  return text.slice(0, messageCharactersMax);
}
