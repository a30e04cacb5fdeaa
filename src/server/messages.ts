// Messages to a running agent against its last report: what was accepted is answered, or it was not accepted.
import type { ServerDeps } from './deps.ts';

/** Ids of the events that show what users have said (routes/executions.ts). */
export const userEventPrefix = 'user:';

export interface MessageGate {
  /** Runs a delivery to the workflow and the event that shows it. */
  deliver<T>(execution: number, run: () => Promise<T>): Promise<T>;
  /**
   * True when a worker reports the end without having seen every message that was accepted. Temporal then refuses the end
   * as well and the agent goes on, so the report must not be final. Should it not come so, the reconciler ends the execution.
   */
  isEarly(execution: number, messagesTaken: number | null | undefined): boolean;
}

export function createMessageGate({ store }: Pick<ServerDeps, 'store'>): MessageGate {
  const underWay = new Map<number, number>();
  return {
    deliver: async (execution, run) => {
      underWay.set(execution, (underWay.get(execution) ?? 0) + 1);
      try {
        return await run();
      } finally {
        const left = (underWay.get(execution) ?? 1) - 1;
        if (left > 0) underWay.set(execution, left);
        else underWay.delete(execution);
      }
    },
    isEarly: (execution, messagesTaken) => {
      // Workers that do not count (the cloud's, older ones) have the last word as before.
      if (typeof messagesTaken !== 'number') return false;
      return underWay.has(execution) || store.events.countWith(execution, userEventPrefix) > messagesTaken;
    },
  };
}
