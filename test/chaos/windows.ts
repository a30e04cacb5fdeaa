// Says, from the journal and Temporal's history, what an execution was doing when its worker was killed.
import type { JournalLine } from '../support/worker-process.ts';
import type { HistoryEvent } from '../support/temporal-history.ts';

/** The five windows in which a kill can hurt. */
export const windows = ['before_started', 'during_call', 'after_effect', 'after_finished', 'workflow_task'] as const;
export type Window = (typeof windows)[number];
/** The rest: a model call was open, or nothing was. */
export type KillMoment = Window | 'model_call' | 'between';

export interface Kill {
  /** When the end of the worker was seen; everything up to here is the dead worker's. */
  readonly atMs: number;
  readonly readyAgainAtMs: number;
  /** As they were right after the kill. */
  readonly journals: ReadonlyMap<string, readonly JournalLine[]>;
  readonly ledger: readonly string[];
}

export interface KilledCall {
  readonly moment: KillMoment;
  /** The tool call that was open. */
  readonly callId?: string;
}

/** `effectOf` gives the ledger's line of a call. Undefined when the execution was not open. */
export function classify(
  history: readonly HistoryEvent[],
  journal: readonly JournalLine[],
  kill: Pick<Kill, 'atMs' | 'ledger'>,
  effectOf: (callId: string) => string,
): KilledCall | undefined {
  const before = history.filter((event) => event.atMs <= kill.atMs);
  if (before.length === 0 || before.some(({ type }) => isEnd(type))) return undefined;
  const lastTask = before.findLast(({ type }) => type.startsWith('WorkflowTask'));
  if (lastTask?.type === 'WorkflowTaskStarted') return { moment: 'workflow_task' };
  const open = openActivity(before);
  if (open === undefined) return { moment: 'between' };
  const { name, callId } = open;
  if (name === 'callModel') return { moment: 'model_call' };
  const has = (type: JournalLine['type']): boolean =>
    journal.some((line) => line.call === callId && line.type === type);
  if (has('finished')) return { moment: 'after_finished', callId };
  if (!has('started')) return { moment: 'before_started', callId };
  return { moment: kill.ledger.includes(effectOf(callId)) ? 'after_effect' : 'during_call', callId };
}

const isEnd = (type: string): boolean =>
  /^WorkflowExecution(Completed|Failed|Terminated|Canceled|TimedOut)$/.test(type);

function openActivity(events: readonly HistoryEvent[]): { name: string; callId: string } | undefined {
  const ended = new Set(
    events.flatMap(({ event }) => {
      const attributes =
        event.activityTaskCompletedEventAttributes ??
        event.activityTaskFailedEventAttributes ??
        event.activityTaskTimedOutEventAttributes ??
        event.activityTaskCanceledEventAttributes;
      return attributes ? [Number(attributes.scheduledEventId)] : [];
    }),
  );
  const open = events.findLast(({ type, id }) => type === 'ActivityTaskScheduled' && !ended.has(id));
  const attributes = open?.event.activityTaskScheduledEventAttributes;
  if (!attributes) return undefined;
  const data = attributes.input?.payloads?.[0]?.data ?? new Uint8Array();
  const input = JSON.parse(new TextDecoder().decode(data)) as { callId?: string; call?: { callId: string } };
  return { name: attributes.activityType?.name ?? '', callId: input.call?.callId ?? input.callId ?? '' };
}

/** Something was achieved, not only attempted. */
const progressTypes: ReadonlySet<string> = new Set([
  'WorkflowTaskCompleted',
  'ActivityTaskCompleted',
  'WorkflowExecutionCompleted',
  'WorkflowExecutionFailed',
]);

/** Milliseconds from the new worker's Ready to the first progress; 0 when it came even before. Undefined: none came. */
export function resumedAfterMs(history: readonly HistoryEvent[], kill: Kill): number | undefined {
  const first = history.find(({ type, atMs }) => atMs > kill.atMs && progressTypes.has(type));
  return first === undefined ? undefined : Math.max(0, first.atMs - kill.readyAgainAtMs);
}
