// What the routes are given: the parts of a running control plane.
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { EventLog } from './events.ts';
import type { FindPlannerModel } from './planner.ts';
import type { Store } from './store/store.ts';
import type { Temporal } from './temporal.ts';

/** Every answer names it; a local server has one organization. */
export const organizationId = 'local';

export interface ServerDeps {
  readonly store: Store;
  readonly events: EventLog;
  readonly temporal: Temporal;
  /** What a worker that registers is told. */
  readonly registration: Registration;
  readonly token: string;
  readonly log: Log;
  readonly clock: Clock;
  /** Absent: plans are made by rules. */
  readonly findPlannerModel?: FindPlannerModel | undefined;
  readonly version: string;
  /** Of the process; its record on disk has the same. */
  readonly instanceId: string;
  /** Files whose sizes tell how much is kept. */
  readonly databases: readonly { readonly name: string; readonly path: string }[];
  /** Wakes the reconciler: something is open. */
  readonly wake: () => void;
  /** Tells Temporal of a job that was changed or removed (job-scheduler.ts). */
  readonly syncJob: (jobId: string) => Promise<void>;
  /** Aborts when the server stops; open streams end. */
  readonly stopping: AbortSignal;
}

export interface Registration {
  readonly temporalAddress: string;
  readonly temporalNamespace: string;
  readonly temporalApiKey: string;
  readonly hasTemporalTls: boolean;
  readonly isLocal: boolean;
  /** Base64. */
  readonly signingKey: string;
}
