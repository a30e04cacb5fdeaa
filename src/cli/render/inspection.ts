// What `execution inspect` says to people: first what it waits for, then the facts.
import { formatDuration } from '../../lib/duration.ts';
import type { ExecutionInspection } from '../../processes/execution-inspection.ts';
import type { Inspection, PendingActivity } from '../../protocol/control-plane.ts';
import type { Sink } from '../output.ts';

type Row = readonly [label: string, text: string | null];

/** Columns of the label, the longest of which is `workflow task`. */
const labelColumns = 15;
/** The end of a call's output; the whole is in the journal. */
const outputCharactersMax = 200;

/** Lines that end with a newline. `nowMs` is what every age is measured to. */
export function inspectionText(
  { execution, inspection, journals }: ExecutionInspection,
  sink: Sink,
  nowMs: number,
): string {
  const status = execution.status.toLowerCase();
  const rows: Row[] = [
    ['execution', execution.id],
    ['status', inspection?.is_stuck === true ? `${status}, stuck` : status],
    ['reason', inspection === null ? (execution.error_message ?? null) : inspection.status_reason],
    ...(inspection === null ? [] : inspectionRows(inspection, nowMs)),
    ...journals.flatMap(({ file, calls }): Row[] => [
      ['journal', file],
      ...calls.map((call): Row => {
        const attempts = call.attempts.length === 0 ? '' : `, attempts ${call.attempts.join(', ')}`;
        const end = call.output.trimEnd().slice(-outputCharactersMax);
        return ['', `${call.call} ${call.state}${attempts}${end === '' ? '' : `\n${end}`}`];
      }),
    ]),
  ];
  const indent = ' '.repeat(labelColumns);
  const lines = rows.flatMap(([label, text]) =>
    text === null
      ? []
      : [`${sink.style('bold', label.padEnd(labelColumns))}${sink.foreign(text).replaceAll('\n', `\n${indent}`)}`],
  );
  return `${lines.join('\n')}\n`;
}

function inspectionRows(seen: Inspection, nowMs: number): Row[] {
  const { workflow_task: task, event_count: events, history_bytes: bytes, workers, pollers } = seen;
  return [
    ['waits for', seen.waits_for],
    ['turn', seen.turn === null ? null : String(seen.turn)],
    ['queue', seen.queue_name === null ? seen.queue_id : `${seen.queue_name} (${seen.queue_id})`],
    [
      'workers',
      workers.length === 0
        ? 'none is alive'
        : workers
            .map(({ id, hostname, last_heartbeat: beat }) => {
              return `${id}${hostname === null ? '' : ` on ${hostname}`}, heartbeat ${ageText(beat, nowMs)}`;
            })
            .join('\n'),
    ],
    [
      'pollers',
      pollers.length === 0
        ? 'nobody has asked Temporal for work lately'
        : pollers
            .map(({ identity, kind, last_seen_at: at }) => `${identity} for ${kind} tasks, ${ageText(at, nowMs)}`)
            .join('\n'),
    ],
    ['workflow', `${seen.workflow_id}, ${seen.workflow_state}${seen.run_id === null ? '' : `, run ${seen.run_id}`}`],
    ['history', events === null ? null : `${events} events, ${bytes ?? 0} bytes`],
    ['workflow task', task === null ? null : taskText(task, nowMs)],
    ...seen.activities.map((activity): Row => ['call', activityText(activity, nowMs)]),
  ];
}

function taskText(
  { state, attempt, scheduled_at: at, failure }: NonNullable<Inspection['workflow_task']>,
  nowMs: number,
): string {
  const failed = failure === null ? '' : `\nlast failure: ${failure.cause}: ${failure.message}`;
  return `${state}, attempt ${attempt}, ${ageText(at, nowMs)}${failed}`;
}

function activityText(activity: PendingActivity, nowMs: number): string {
  const { type, tool_name: tool, call_id: call, state, attempt, attempts_max: max, last_failure: failure } = activity;
  const lines = [
    `${tool ?? type}${call === null ? '' : ` (${call})`}: ${state.replace('_', ' ')}, attempt ${attempt}${max === null ? '' : ` of ${max}`}`,
    activity.last_started_at === null
      ? ''
      : `started ${ageText(activity.last_started_at, nowMs)} on ${activity.last_worker ?? 'a worker'}`,
    activity.last_heartbeat_at === null
      ? ''
      : `last heartbeat ${ageText(activity.last_heartbeat_at, nowMs)}${detailText(activity.heartbeat)}`,
    activity.next_attempt_at === null ? '' : `next attempt at ${activity.next_attempt_at}`,
    failure === null ? '' : `last failure: ${failure.type ?? 'error'}: ${failure.message}`,
  ];
  return lines.filter((line) => line !== '').join('\n');
}

function detailText(heartbeat: unknown): string {
  return heartbeat === null || heartbeat === undefined ? '' : `: ${JSON.stringify(heartbeat)}`;
}

function ageText(at: string | null, nowMs: number): string {
  if (at === null) return 'never';
  const ms = nowMs - Date.parse(at);
  return ms < 1_000 ? 'now' : `${formatDuration(ms)} ago`;
}
