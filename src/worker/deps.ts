// What a worker is given: the session it runs in and the outside world as a few small interfaces.
import type { ControlPlaneClient } from '../controlplane/client.ts';
import type { Publisher } from '../controlplane/publisher.ts';
import type { Clock } from '../lib/clock.ts';
import type { Spawner } from '../lib/spawn.ts';
import type { ModelClient } from '../protocol/model.ts';
import type { Log } from '../telemetry/log.ts';
import type { Meter } from '../telemetry/meter.ts';
import type { Redactor } from '../telemetry/redact.ts';
import type { McpServers } from '../tools/mcp/servers.ts';
import type { CallRegistry } from './calls.ts';
import type { ExecutionTracker } from './executions.ts';
import type { Journal } from './journal.ts';

export interface TemporalAddress {
  /** `host:port`. */
  readonly address: string;
  readonly namespace: string;
  /** Absent means plaintext unless `isTls`. */
  readonly apiKey?: string;
  readonly isTls: boolean;
  /** PEM of a certificate authority of one's own. */
  readonly caCertificate?: Uint8Array;
  /** HTTP CONNECT proxy as `host:port`, with credentials if it wants them. */
  readonly proxy?: { readonly address: string; readonly user?: string; readonly password?: string };
}

/** Configuration plus what registration gave: all that is true for as long as this worker is registered. */
export interface Session {
  readonly instanceId: string;
  readonly workerId: string;
  readonly queueId: string;
  readonly queueName: string;
  readonly taskQueue: string;
  /** Of the journal that this worker writes (worker/sole-journal.ts): the same after a restart, so it names what it holds. */
  readonly journalId: string;
  readonly temporal: TemporalAddress;
  /** Key of the payload signatures; absent where Temporal authenticates its clients. */
  readonly signingKey?: Uint8Array;
  /** Temporal is a dev server on this machine: timings are short and heartbeats cost nothing. */
  readonly isLocal: boolean;
  readonly concurrentActivitiesMax: number;
  readonly concurrentWorkflowsMax: number;
  readonly activityTimeoutMs: number;
  /** `--model`: beats every other choice. */
  readonly modelOverride?: string;
  readonly directories: {
    readonly workspaces: string;
    /** Holds `venv/` and `requirements.txt`. */
    readonly python: string;
    readonly cache: string;
  };
  /** The allow-listed environment that tools start from. */
  readonly toolEnvironment: Readonly<Record<string, string>>;
  /** Port on 127.0.0.1 where Temporal's SDK serves its own metrics; absent: it gathers none. */
  readonly temporalMetricsPort?: number;
}

export interface WorkerDeps {
  readonly controlPlane: Pick<
    ControlPlaneClient,
    | 'getAgent'
    | 'getTeam'
    | 'listAgents'
    | 'listSkills'
    | 'listResolvedSkills'
    | 'getResolvedEnvironment'
    | 'getExecution'
    | 'createExecution'
    | 'reportJobStatus'
    | 'listPresentQueueWorkers'
    | 'getModel'
    | 'getSession'
    | 'executeAgent'
    | 'executeTeam'
    | 'sendMessage'
    | 'cancelExecution'
    | 'createApproval'
    | 'getApproval'
  >;
  readonly models: ModelClient;
  /** The model to use when neither the user, the execution nor the agent names one; throws the `no_provider` error. */
  readonly defaultModel: (signal: AbortSignal) => Promise<string>;
  /** Throws a KubiyaError when no provider can serve this model: known before the first turn. */
  readonly checkModel: (model: string) => Promise<void> | void;
  readonly publisher: Publisher;
  readonly journal: Journal;
  readonly calls: CallRegistry;
  readonly executions: ExecutionTracker;
  readonly spawner: Spawner;
  /** Its owner stops it after the worker. */
  readonly mcp: Pick<McpServers, 'discover' | 'call' | 'release'>;
  readonly redactor: Redactor;
  readonly log: Log;
  readonly clock: Clock;
  /** Told of everything that is over. */
  readonly meter: Meter;
}
