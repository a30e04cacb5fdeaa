// Makes it a state that no worker can go on with an execution: shown, told in its stream, and over as soon as one can.
import type { WireEvent } from '../protocol/events.ts';
import type { ServerDeps } from './deps.ts';
import type { ExecutionRecord } from './store/executions.ts';
import type { TaskTrouble } from './temporal-inspect.ts';

/** Enough of an SDK's message to see which step it is about. */
const detailCharactersMax = 300;

/** Notes what Temporal says of the workflow task of an open execution; without effect when nothing has changed. */
export function noteTrouble(
  { store, events, clock, log }: Pick<ServerDeps, 'store' | 'events' | 'clock' | 'log'>,
  execution: ExecutionRecord,
  trouble: TaskTrouble | undefined,
): void {
  const reason = trouble === undefined ? null : reasonOf(trouble);
  if (reason === execution.stuckReason) return;
  const { id, number } = execution;
  const isStuck = reason !== null;
  // What was published before stands before it in the log.
  events.flush();
  store.transaction(() => {
    store.executions.setStuck(id, reason);
    const event: WireEvent = {
      event_id: `server:stuck:${store.events.count(number) + 1}`,
      event_type: 'notice',
      data: {
        code: isStuck ? 'execution_stuck' : 'execution_goes_on',
        message: isStuck ? `${reason}; ${hintOf(id)}` : 'A worker can go on with this execution again',
      },
      timestamp: new Date(clock.now()).toISOString(),
    };
    store.events.append(number, [event]);
  });
  events.notify(number);
  if (isStuck) log.warn('An execution is stuck', { execution: id, reason, attempt: trouble?.attempt });
  else log.info('An execution that was stuck goes on', { execution: id });
}

function reasonOf({ cause, message }: TaskTrouble): string {
  const [firstLine = ''] = message.split('\n');
  const detail = firstLine === '' ? '' : `: ${firstLine.slice(0, detailCharactersMax)}`;
  return cause === 'non_deterministic_error'
    ? `Its workers are of a version that cannot replay its history${detail}`
    : `Its workflow task fails on every worker (${cause})${detail}`;
}

function hintOf(id: string): string {
  return `run a worker of the version that began it, or end it with \`kubiya execution terminate ${id}\``;
}
