// What Temporal recorded of an execution, read with a plain client of our own.
import { Client, Connection } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { agentWorkflowId } from '../../src/protocol/workflow.ts';

export interface HistoryEvent {
  readonly id: number;
  /** `WorkflowTaskStarted`, `ActivityTaskScheduled`, … */
  readonly type: string;
  readonly atMs: number;
  readonly event: temporal.api.history.v1.IHistoryEvent;
}

export interface TemporalProbe {
  readonly client: Client;
  history(executionId: string): Promise<readonly HistoryEvent[]>;
  close(): Promise<void>;
}

/** An unsigned client, as anyone on this machine could have. */
export async function connectTemporal(address: string): Promise<TemporalProbe> {
  const connection = await Connection.connect({ address });
  const client = new Client({ connection });
  return {
    client,
    history: async (executionId) => {
      const { events } = await client.workflow.getHandle(agentWorkflowId(executionId)).fetchHistory();
      return (events ?? []).map((event) => ({
        id: Number(event.eventId),
        type: nameOf(event.eventType),
        atMs: Number(event.eventTime?.seconds ?? 0) * 1000 + (event.eventTime?.nanos ?? 0) / 1e6,
        event,
      }));
    },
    close: () => connection.close(),
  };
}

/** EVENT_TYPE_WORKFLOW_TASK_STARTED → WorkflowTaskStarted. */
function nameOf(type: temporal.api.enums.v1.EventType | null | undefined): string {
  const constant = temporal.api.enums.v1.EventType[type ?? 0] ?? 'unknown';
  return constant
    .replace('EVENT_TYPE_', '')
    .toLowerCase()
    .replaceAll(/(?:^|_)(\w)/g, (_whole, letter: string) => letter.toUpperCase());
}
