// Ends workflows that nobody follows any more: the store says that they have ended, or a restored backup does not know them.
import type { ServerDeps } from './deps.ts';
import { TemporalError } from './temporal.ts';

/** Between a worker's last report and the end of its workflow lie milliseconds, between row and start one request. */
const orphanAfterMs = 15_000;
/** The rest is found by the next look. */
const orphansPerLookMax = 200;

export async function endOrphans({ store, temporal, clock, registration, log }: ServerDeps): Promise<void> {
  const before = new Date(clock.now() - orphanAfterMs);
  for (const { executionId: id, workflowId } of await temporal.openBefore(before, orphansPerLookMax)) {
    const known = store.executions.find(id);
    // A cluster of others may be shared with another control plane; the dev server is ours alone.
    if (known === null ? !registration.isLocal : known.isOpen || Date.parse(known.updatedAt) > before.getTime())
      continue;
    const reason =
      known === null ? 'its control plane does not know it' : `its control plane has it as ${known.status}`;
    try {
      await temporal.terminate(workflowId, reason);
      log.warn('A workflow that nobody follows was ended', { execution: id, reason });
    } catch (error) {
      // Visibility lags behind: it has ended by itself.
      if (!(error instanceof TemporalError && error.kind === 'not_found')) throw error;
    }
  }
}
