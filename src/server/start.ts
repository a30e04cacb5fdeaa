// Starts the embedded control plane: store, Temporal client, reconciler and HTTP listener, taken down in reverse.
import type { Clock } from '../lib/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { TemporalTarget } from './temporal.ts';

export interface ControlPlaneOptions {
  /** Address to bind; the caller has checked that one which is not loopback has an explicit token. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** True when the user chose the port: then a taken one is an error instead of a reason to take the next. */
  readonly isPortExplicit: boolean;
  readonly token: string;
  /** Key of the payload signature, handed to workers; 32 random bytes. */
  readonly signingKey: Uint8Array;
  /** `:memory:` keeps nothing. */
  readonly databasePath: string;
  readonly temporal: TemporalTarget;
  /** Address of Temporal that workers are told when it is not `temporal.address` (`--advertise`). */
  readonly advertisedTemporalAddress?: string | undefined;
  /** The host name in `url`, when others reach us by another one than `host`. */
  readonly advertisedHost?: string | undefined;
  readonly log: Log;
  readonly version: string;
  readonly clock: Clock;
}

export interface ControlPlaneActivity {
  /** Workers whose last heartbeat is fresh. */
  readonly liveWorkers: number;
  readonly openStreams: number;
  /** Executions that have not ended. */
  readonly openExecutions: number;
}

export interface ControlPlane {
  readonly url: string;
  readonly port: number;
  /** Ends open streams, waits for what is being written, closes the store. May be called again. */
  stop(): Promise<void>;
  activity(): ControlPlaneActivity;
}

/**
 * Returns when requests are answered. Temporal need not be there yet. Throws a KubiyaError when the port is taken or the
 * database cannot be used.
 */
export declare function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane>;
