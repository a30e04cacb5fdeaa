// The shape of a finished configuration: validated, merged and frozen by load.ts, then handed on and never read again from its sources.
import type { NetworkSettings } from '../lib/network.ts';
import type { SupervisedBy } from '../protocol/instance.ts';
import type { ProviderCredentials } from '../protocol/providers.ts';
import type { Paths } from './paths.ts';
import type { Secret } from './secret.ts';

/** Where an effective value came from; `config show` prints it. */
export type Origin =
  | { readonly kind: 'flag'; readonly name: string }
  | { readonly kind: 'environment'; readonly name: string }
  /** `location` is `file:line:column`. */
  | { readonly kind: 'context'; readonly name: string; readonly location: string }
  /** What the control plane hands out for the queue at registration. */
  | { readonly kind: 'queue'; readonly name: string }
  | { readonly kind: 'default' };

/** Which control plane is meant, and the sentence that says why. */
export interface Profile {
  readonly kind: 'cloud' | 'local';
  readonly reason: string;
}

export interface ControlPlaneConfig {
  /** Base URL without a trailing slash. In the local profile it is only meant when `isUrlExplicit`. */
  readonly url: string;
  readonly isUrlExplicit: boolean;
  /** Absent in the local profile, where the running server's token file is read. */
  readonly token: Secret | undefined;
  /** The file of KUBIYA_API_KEY_FILE, for rotation: read again after a 401. */
  readonly tokenFile: string | undefined;
}

export interface WorkerConfig {
  /** The queue as the user typed it (id or name); undefined when none was given. */
  readonly queue: string | undefined;
  readonly type: 'local';
  readonly hostname: string;
  readonly heartbeatIntervalMs: number;
  readonly concurrentActivitiesMax: number;
  readonly concurrentWorkflowsMax: number;
  /** Whether the two were given; a default gives way to a small machine. */
  readonly isConcurrencyAsked: { readonly activities: boolean; readonly workflows: boolean };
  /** Processors to count on; undefined means those of the control group. */
  readonly cpuLimit: number | undefined;
  readonly activityTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly mode: 'foreground' | 'daemon';
  /** Take one execution, then exit with its result. */
  readonly isOnce: boolean;
  readonly idleTimeoutMs: number | undefined;
  readonly uptimeMsMax: number | undefined;
  /** Resident memory above which the worker drains. */
  readonly memoryBytesMax: number | undefined;
  readonly runtime: 'auto' | 'bun' | 'node';
  /** Start although another product's worker polls the queue. */
  readonly mayMixQueue: boolean;
  readonly retention: RetentionConfig;
}

/** What of ended executions is kept, and for how long. */
export interface RetentionConfig {
  readonly ageMsMax: number;
  readonly workspacesBytesMax: number;
}

/** The worker's own HTTP server. */
export interface WebConfig {
  readonly isEnabled: boolean;
  /** 0 takes any. */
  readonly port: number;
  /** A given port that is taken is an error; the default moves to the next free one. */
  readonly isPortExplicit: boolean;
  readonly host: string;
  /** Present whenever `host` is not loopback. */
  readonly token: Secret | undefined;
}

/** The second listener that only serves metrics and probes. */
export interface MetricsConfig {
  readonly isEnabled: boolean;
  readonly port: number;
  readonly host: string;
}

/** Where traces and metrics go over OTLP/HTTP; one of the URLs is there. */
export interface OpenTelemetryConfig {
  readonly tracesUrl: string | undefined;
  readonly metricsUrl: string | undefined;
  readonly headers: Secret<Readonly<Record<string, string>>>;
  readonly serviceName: string;
  readonly resourceAttributes: Readonly<Record<string, string>>;
  /** Of one request. */
  readonly timeoutMs: number;
}

export interface ServerConfig {
  readonly port: number;
  /** A given port that is taken is an error; the default moves to the next free one. */
  readonly isPortExplicit: boolean;
  readonly host: string;
  /** The host name that registration returns to workers; undefined means `host`. */
  readonly advertise: string | undefined;
  readonly dataDirectory: string;
  /** A bearer token given by the user; a bind that is not loopback requires it. */
  readonly token: Secret | undefined;
  /** An existing Temporal to use instead of the dev server; undefined starts the dev server. */
  readonly temporal: ExternalTemporal | undefined;
}

export interface ExternalTemporal {
  readonly address: string;
  readonly namespace: string;
  readonly apiKey: Secret | undefined;
  readonly isTls: boolean;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface LogConfig {
  readonly level: LogLevel;
  readonly format: 'text' | 'json';
  readonly fileBytesMax: number;
  readonly backupsMax: number;
}

/** Where `kubiya login` goes. */
export interface LoginConfig {
  readonly issuer: string;
  readonly clientId: string;
  readonly audience: string;
  readonly port: number;
}

/** One row of `config show`; `value` is already text, and redacted where the option is secret. */
export interface EffectiveSetting {
  readonly name: string;
  readonly value: string | number | boolean | null;
  readonly unit: 'ms' | 'bytes' | undefined;
  /** What applies when the value is null. */
  readonly defaultText: string | undefined;
  readonly origin: Origin;
  readonly description: string;
}

export interface Config {
  readonly profile: Profile;
  readonly paths: Paths;
  /** The context in use; in commands about the context file the one that was asked for, which need not exist. */
  readonly context: string | undefined;
  readonly controlPlane: ControlPlaneConfig;
  /** The environment that queue names resolve in (ENVIRONMENT_NAME). */
  readonly environmentName: string;
  /** The model that overrides agent and team configuration. */
  readonly model: string | undefined;
  readonly worker: WorkerConfig;
  readonly web: WebConfig;
  readonly metrics: MetricsConfig;
  readonly openTelemetry: OpenTelemetryConfig | undefined;
  /** The trace of whoever runs `exec`, as it was given: the worker ignores what is none. */
  readonly traceparent: string | undefined;
  readonly server: ServerConfig;
  readonly log: LogConfig;
  readonly network: NetworkSettings;
  readonly login: LoginConfig;
  /** The model providers' variables that are set, by name: keys and base URLs. */
  readonly providers: Secret<ProviderCredentials>;
  readonly isDebug: boolean;
  /** Hash the programs in the cache even when they are unchanged since they were last verified. */
  readonly mustVerifyCache: boolean;
  readonly isNonInteractive: boolean;
  /** Present in a worker that our supervisor has started. */
  readonly supervisedBy: Secret<SupervisedBy> | undefined;
  /** The whole environment of this process, from which lib/spawn.ts allow-lists what a child gets. */
  readonly childEnvironmentBase: Secret<Readonly<Record<string, string | undefined>>>;
  readonly settings: readonly EffectiveSetting[];
  /** Sentences about what works and should not stay so; the command line says each once. */
  readonly warnings: readonly string[];
}
