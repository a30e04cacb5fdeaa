// Puts together what the store, Temporal and the list of workers know of one execution, and says what it waits for.
import type { Inspection } from '../protocol/control-plane.ts';
import type { ServerDeps } from './deps.ts';
import type { ExecutionRecord } from './store/executions.ts';
import { TemporalError } from './temporal.ts';
import type { WorkflowDetails } from './temporal-inspect.ts';

const nothingKnown: WorkflowDetails = {
  run_id: null,
  event_count: null,
  history_bytes: null,
  turn: null,
  workflow_task: null,
  activities: [],
  pollers: [],
};

/** Temporal not answering is a part of the answer, not an error. */
export async function inspect(deps: ServerDeps, execution: ExecutionRecord): Promise<Inspection> {
  const { store, clock } = deps;
  const { state, details } = await workflowOf(deps, execution);
  const inspection: Omit<Inspection, 'waits_for'> = {
    execution_id: execution.id,
    status: execution.status,
    is_stuck: execution.stuckReason !== null,
    status_reason: execution.stuckReason ?? execution.errorMessage,
    workflow_id: execution.workflowId,
    workflow_state: state,
    ...details,
    queue_id: execution.queueId,
    queue_name: store.queues.find(execution.queueId)?.name ?? null,
    workers: store.queues.liveWorkers(execution.queueId).map(({ id, body, lastHeartbeatMs }) => ({
      id,
      hostname: hostnameOf(body['system_info']),
      last_heartbeat: lastHeartbeatMs === null ? null : new Date(lastHeartbeatMs).toISOString(),
    })),
  };
  const [approval] = store.approvals.list({ execution: execution.number, status: 'pending', limit: 1 });
  return { ...inspection, waits_for: waitsFor(inspection, clock.now(), approval?.request.title) };
}

async function workflowOf(
  { temporal }: ServerDeps,
  { workflowId, queueId, isWorkflowStarted }: ExecutionRecord,
): Promise<{ readonly state: Inspection['workflow_state']; readonly details: WorkflowDetails }> {
  if (!isWorkflowStarted) return { state: 'not_started', details: nothingKnown };
  try {
    const { kind } = await temporal.describe(workflowId);
    if (kind === 'missing') return { state: 'missing', details: nothingKnown };
    return { state: kind, details: await temporal.inspect(workflowId, queueId) };
  } catch (error) {
    if (!(error instanceof TemporalError)) throw error;
    return { state: error.kind === 'not_found' ? 'missing' : 'unknown', details: nothingKnown };
  }
}

/** One sentence for a person who asks why nothing happens. */
export function waitsFor(seen: Omit<Inspection, 'waits_for'>, nowMs: number, asksFor?: string): string {
  const { workflow_state: state, workflow_task: task, status } = seen;
  if (state === 'unknown') return 'Temporal does not answer, so only what the control plane has stored is known';
  if (state === 'not_started') return 'Temporal has not taken it yet';
  if (state === 'missing') return 'Temporal does not know it any more';
  if (state === 'closed') return 'nothing: it has ended';
  if (seen.is_stuck) return 'a worker that can replay its history';
  if (seen.workers.length === 0 && !isPolled(seen, nowMs))
    return `a worker: nobody takes work from the queue ${seen.queue_name ?? seen.queue_id}`;
  const activity = activityOf(seen, nowMs);
  if (activity !== undefined) return activity;
  if (task !== null) return task.attempt > 1 ? `attempt ${task.attempt} of its workflow task` : 'its workflow task';
  if (status === 'paused') return 'somebody who resumes it';
  if (status === 'waiting_for_input') return 'the next message';
  if (asksFor !== undefined) return `an answer to "${asksFor}" (kubiya execution approve ${seen.execution_id})`;
  return 'a timer, another execution, or its next step';
}

/** Temporal lists a poller for minutes after its last poll; one that lives polls every minute at least. */
const polledWithinMs = 90_000;

function isPolled({ pollers }: Pick<Inspection, 'pollers'>, nowMs: number): boolean {
  return pollers.some(({ last_seen_at: at }) => at !== null && nowMs - Date.parse(at) < polledWithinMs);
}

function activityOf(
  { activities, queue_id: queue }: Pick<Inspection, 'activities' | 'queue_id'>,
  nowMs: number,
): string | undefined {
  const [first] = activities;
  if (first === undefined) return undefined;
  const what = first.tool_name === null ? 'the model' : `the tool ${first.tool_name}`;
  const others = activities.length > 1 ? ` and ${activities.length - 1} more` : '';
  if (first.state === 'started') return `${what}${others} (attempt ${first.attempt})`;
  const next = first.next_attempt_at;
  if (first.state !== 'scheduled' || first.attempt === 1 || next === null || Date.parse(next) <= nowMs)
    return first.task_queue === null || first.task_queue === queue
      ? `a worker with a free slot for ${what}${others}`
      : `the worker that holds its workspace, and a free slot of it, for ${what}${others}`;
  const why = first.last_failure === null ? '' : `: ${first.last_failure.message}`;
  return `attempt ${first.attempt} of ${what}${others} at ${next}${why}`;
}

function hostnameOf(systemInfo: unknown): string | null {
  if (typeof systemInfo !== 'object' || systemInfo === null || !('hostname' in systemInfo)) return null;
  return typeof systemInfo.hostname === 'string' ? systemInfo.hostname : null;
}
