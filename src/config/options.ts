// Every option, declared once: its flag, its environment variables, its key in a context, its default, its limits and its sentence.
// One file because it is a table: whoever adds an option sees all others, and the README and --help are made of it.
import type { Origin } from './config.ts';

/** What a command is about; an option is read and checked only by the commands that name it. */
export type CommandScope =
  | 'api'
  | 'exec'
  | 'worker'
  | 'server'
  /** What works on the data of the embedded control plane: its backup, its restore. */
  | 'data'
  /** The context file. */
  | 'contexts'
  | 'login'
  /** Every option: `config show`. */
  | 'show'
  /** A worker of this machine: which queue is meant. */
  | 'here'
  /** None: only where our files are. */
  | 'home';

export type OptionType =
  | { readonly type: 'text' }
  | { readonly type: 'path' }
  | { readonly type: 'url' }
  /** The URL of an HTTP proxy, with its scheme added where it is left out; its credentials are never shown. */
  | { readonly type: 'proxy' }
  | { readonly type: 'switch' }
  | { readonly type: 'integer'; readonly min: number; readonly max: number }
  | { readonly type: 'seconds'; readonly min: number; readonly max: number }
  | { readonly type: 'duration'; readonly minMs: number; readonly maxMs: number }
  /** A Kubernetes quantity (`512Mi`, `2Gi`, `1.5G`, a plain number) in bytes. */
  | { readonly type: 'bytes'; readonly min: number; readonly max: number }
  /** A Kubernetes quantity of processors (`1000m`, `0.5`, `2`) in processors. */
  | { readonly type: 'cpus'; readonly min: number; readonly max: number }
  /** US dollars, such as `0.50`. */
  | { readonly type: 'usd'; readonly min: number; readonly max: number }
  | { readonly type: 'choice'; readonly choices: readonly string[] };

export type OptionDeclaration = OptionType & {
  /** Long flag without dashes. Without one the option cannot be given on the command line (secrets never can). */
  readonly flag?: string;
  readonly flagAliases?: readonly string[];
  /** In order of precedence. */
  readonly environment?: readonly string[];
  /** Key of the context's entry in the context file. */
  readonly contextKey?: string;
  readonly default?: string | number | boolean;
  /** How the default is described where it is computed. */
  readonly defaultText?: string;
  readonly valueName?: string;
  readonly isSecret?: boolean;
  /** A switch that is on, and that the command line can only switch off: `--no-<flag>`. */
  readonly isOn?: true;
  readonly scopes: readonly CommandScope[];
  /** Where the flag exists, when not in all of `scopes`. */
  readonly flagScopes?: readonly CommandScope[];
  readonly description: string;
};

const connecting = ['api', 'exec', 'worker'] as const;
/** What opens connections of any kind. */
const networking = [...connecting, 'server', 'login'] as const;
const working = ['exec', 'worker'] as const;
const logging = ['exec', 'worker', 'server'] as const;

const secondMs = 1_000;
const dayMs = 86_400 * secondMs;
const logLevels = ['debug', 'info', 'warn', 'warning', 'error'] as const;

export const options = {
  apiKey: {
    type: 'text',
    environment: ['KUBIYA_API_KEY'],
    contextKey: 'token',
    isSecret: true,
    scopes: connecting,
    description: 'key of the Kubiya control plane; set, it chooses the cloud profile',
  },
  apiKeyFile: {
    type: 'path',
    environment: ['KUBIYA_API_KEY_FILE'],
    scopes: connecting,
    description: 'file that holds the key; read again when the key is refused',
  },
  controlPlaneUrl: {
    type: 'url',
    flag: 'control-plane-url',
    environment: ['CONTROL_PLANE_GATEWAY_URL', 'CONTROL_PLANE_URL', 'KUBIYA_CONTROL_PLANE_BASE_URL'],
    contextKey: 'api-url',
    default: 'https://control-plane.kubiya.ai',
    valueName: 'url',
    scopes: [...connecting, 'login'],
    description: 'base URL of the control plane',
  },
  localServer: {
    type: 'switch',
    flag: 'local-server',
    environment: ['KUBIYA_LOCAL_SERVER'],
    default: false,
    scopes: connecting,
    description: 'use the local profile even when a key is set',
  },
  environmentName: {
    type: 'text',
    flag: 'environment',
    flagScopes: ['exec'],
    valueName: 'id|name',
    environment: ['ENVIRONMENT_NAME'],
    default: 'default',
    scopes: connecting,
    description: 'environment that queue names are looked up in',
  },
  model: {
    type: 'text',
    flag: 'model',
    environment: ['KUBIYA_MODEL'],
    valueName: 'id',
    scopes: working,
    description: 'model that overrides the configuration of agents',
  },
  queue: {
    type: 'text',
    flag: 'queue-id',
    flagAliases: ['queue'],
    environment: ['QUEUE_ID'],
    valueName: 'id|name',
    scopes: ['worker', 'here'],
    description: 'queue of the worker; at its start an unknown name is created in the local profile',
  },
  workerType: {
    type: 'choice',
    choices: ['local'],
    flag: 'type',
    default: 'local',
    scopes: ['worker'],
    description: 'where the worker runs',
  },
  mode: {
    type: 'choice',
    choices: ['foreground', 'daemon'],
    flag: 'mode',
    default: 'foreground',
    scopes: ['worker'],
    description: 'in this terminal, or supervised in the background (-d, --daemon)',
  },
  isWebEnabled: {
    type: 'switch',
    flag: 'webui',
    isOn: true,
    default: true,
    scopes: ['worker'],
    description: 'serve nothing on the web port',
  },
  webPort: {
    type: 'integer',
    min: 0,
    max: 65_535,
    flag: 'webui-port',
    environment: ['KUBIYA_WEBUI_PORT'],
    default: 8088,
    valueName: 'port',
    scopes: ['worker'],
    description: 'web port of the worker; the default moves to the next free one, 0 takes any',
  },
  webHost: {
    type: 'text',
    flag: 'webui-host',
    environment: ['KUBIYA_WEBUI_HOST'],
    default: '127.0.0.1',
    valueName: 'address',
    scopes: ['worker'],
    description: 'address of the web port; one that is not loopback needs KUBIYA_WEBUI_TOKEN_FILE',
  },
  webTokenFile: {
    type: 'path',
    environment: ['KUBIYA_WEBUI_TOKEN_FILE'],
    scopes: ['worker'],
    description: 'file that holds the token which the web port wants',
  },
  areMetricsEnabled: {
    type: 'switch',
    environment: ['METRICS_ENABLED'],
    default: false,
    scopes: ['worker'],
    description: 'also serve /metrics, /livez and /readyz on METRICS_PORT',
  },
  metricsPort: {
    type: 'integer',
    min: 0,
    max: 65_535,
    environment: ['METRICS_PORT'],
    default: 9090,
    scopes: ['worker'],
    description: 'port of the metrics; 0 takes any',
  },
  metricsHost: {
    type: 'text',
    environment: ['KUBIYA_METRICS_HOST'],
    default: '0.0.0.0',
    scopes: ['worker'],
    description: 'address on which METRICS_PORT listens',
  },
  otelEndpoint: {
    type: 'url',
    environment: ['OTEL_EXPORTER_OTLP_ENDPOINT'],
    scopes: working,
    description: 'collector that takes traces and metrics over OTLP/HTTP; unset, nothing is exported',
  },
  otelTracesEndpoint: {
    type: 'url',
    environment: ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'],
    scopes: working,
    description: 'whole URL for traces, before that of the collector',
  },
  otelMetricsEndpoint: {
    type: 'url',
    environment: ['OTEL_EXPORTER_OTLP_METRICS_ENDPOINT'],
    scopes: working,
    description: 'whole URL for metrics, before that of the collector',
  },
  otelHeaders: {
    type: 'text',
    environment: ['OTEL_EXPORTER_OTLP_HEADERS'],
    isSecret: true,
    scopes: working,
    description: 'headers for the collector, key=value,key=value',
  },
  otelServiceName: {
    type: 'text',
    environment: ['OTEL_SERVICE_NAME'],
    defaultText: 'kubiya-worker',
    scopes: working,
    description: 'service.name of traces and exported metrics',
  },
  otelResourceAttributes: {
    type: 'text',
    environment: ['OTEL_RESOURCE_ATTRIBUTES'],
    scopes: working,
    description: 'attributes of traces and exported metrics, key=value,key=value',
  },
  otelTimeout: {
    type: 'integer',
    min: 100,
    max: 600_000,
    environment: ['OTEL_EXPORTER_OTLP_TIMEOUT'],
    default: 10_000,
    scopes: working,
    description: 'milliseconds that one export may take',
  },
  traceparent: {
    type: 'text',
    environment: ['TRACEPARENT'],
    scopes: ['exec'],
    description: 'trace (a W3C traceparent) that the execution continues',
  },
  isOnce: {
    type: 'switch',
    flag: 'once',
    environment: ['SINGLE_EXECUTION'],
    default: false,
    scopes: ['worker'],
    description: 'take one execution and exit with its result: 0 completed, 1 failed, 130 cancelled',
  },
  idleTimeout: {
    type: 'duration',
    minMs: secondMs,
    maxMs: 365 * dayMs,
    flag: 'idle-timeout',
    defaultText: 'off',
    valueName: 'duration',
    scopes: ['worker'],
    description: 'drain and exit after so long without work',
  },
  uptimeLimit: {
    type: 'duration',
    minMs: secondMs,
    maxMs: 365 * dayMs,
    flag: 'max-uptime',
    defaultText: 'off',
    valueName: 'duration',
    scopes: ['worker'],
    description: 'drain and exit so long after the start',
  },
  memoryLimit: {
    type: 'bytes',
    min: 64 * 1024 * 1024,
    max: 2 ** 50,
    flag: 'max-memory',
    environment: ['MEMORY_LIMIT'],
    defaultText: 'off',
    valueName: 'size',
    scopes: ['worker'],
    description: 'drain above it, then restart (daemon) or exit with 7; for example 2Gi',
  },
  cpuLimit: {
    type: 'cpus',
    min: 0.01,
    max: 10_000,
    environment: ['CPU_LIMIT'],
    defaultText: 'what the machine and its control group give',
    valueName: 'count',
    scopes: ['worker'],
    description: 'processors to count on when concurrency is chosen; for example 1000m',
  },
  retentionDays: {
    type: 'integer',
    min: 1,
    max: 3650,
    environment: ['KUBIYA_RETENTION_DAYS'],
    default: 30,
    valueName: 'days',
    scopes: ['worker'],
    description: 'days that workspaces, reports and plans of executions that have ended are kept',
  },
  workspacesBytesMax: {
    type: 'bytes',
    min: 1024 * 1024,
    max: 2 ** 50,
    environment: ['KUBIYA_WORKSPACES_BYTES_MAX'],
    // A few checkouts with their dependencies fit many times, and a small cloud disk still has room beside it.
    default: 20 * 1024 ** 3,
    valueName: 'size',
    scopes: ['worker'],
    description: 'bytes of all workspaces of a queue above which the oldest of ended executions go; for example 50Gi',
  },
  mayMixQueue: {
    type: 'switch',
    environment: ['KUBIYA_ALLOW_MIXED_QUEUE'],
    default: false,
    scopes: ['worker'],
    description: 'start although a worker of another product takes work from the same queue',
  },
  runtime: {
    type: 'choice',
    choices: ['auto', 'bun', 'node'],
    flag: 'runtime',
    environment: ['KUBIYA_RUNTIME'],
    default: 'auto',
    scopes: working,
    flagScopes: ['worker'],
    description: 'what hosts the native part of Temporal: this binary, or Node 20 or later on the PATH',
  },
  workerHostname: {
    type: 'text',
    environment: ['WORKER_HOSTNAME'],
    defaultText: 'name of this machine',
    scopes: working,
    description: 'name that the worker reports for its machine',
  },
  heartbeatInterval: {
    type: 'seconds',
    min: 15,
    max: 300,
    environment: ['HEARTBEAT_INTERVAL'],
    default: 30,
    scopes: working,
    description: 'seconds between two heartbeats',
  },
  concurrentActivities: {
    type: 'integer',
    min: 1,
    max: 1000,
    environment: ['MAX_CONCURRENT_ACTIVITIES'],
    default: 10,
    scopes: working,
    description: 'model and tool calls that run at the same time',
  },
  concurrentWorkflows: {
    type: 'integer',
    min: 1,
    max: 1000,
    environment: ['MAX_CONCURRENT_WORKFLOWS'],
    default: 10,
    scopes: working,
    description: 'workflow tasks that run at the same time',
  },
  activityTimeout: {
    type: 'seconds',
    min: 1,
    max: 86_400,
    environment: ['ACTIVITY_TIMEOUT'],
    default: 600,
    scopes: working,
    description: 'seconds that one model or tool call may take',
  },
  drainTimeout: {
    type: 'duration',
    minMs: 0,
    maxMs: dayMs,
    flag: 'drain-timeout',
    flagScopes: ['worker'],
    environment: ['KUBIYA_DRAIN_TIMEOUT'],
    defaultText: '30s; 25s under Kubernetes, 8s as pid 1 in a container',
    valueName: 'duration',
    scopes: working,
    description: 'what running work gets after the first stop signal',
  },
  logBytesMax: {
    type: 'bytes',
    // `tail -F` loses lines when a file rotates within milliseconds, which a burst does below this size.
    min: 1_000_000,
    max: 1_000_000_000_000,
    flag: 'max-log-size',
    flagScopes: ['worker', 'server'],
    environment: ['KUBIYA_MAX_LOG_SIZE'],
    default: 104_857_600,
    valueName: 'size',
    scopes: logging,
    description: 'size of a log file at which it is rotated',
  },
  logBackupsMax: {
    type: 'integer',
    min: 0,
    max: 1000,
    flag: 'max-log-backups',
    flagScopes: ['worker', 'server'],
    environment: ['KUBIYA_MAX_LOG_BACKUPS'],
    default: 5,
    valueName: 'count',
    scopes: logging,
    description: 'rotated log files that are kept; 0 keeps none',
  },
  logLevel: {
    type: 'choice',
    choices: logLevels,
    environment: ['LOG_LEVEL'],
    default: 'info',
    scopes: logging,
    description: 'least severe entries that are logged',
  },
  logFormat: {
    type: 'choice',
    choices: ['text', 'json'],
    environment: ['LOG_FORMAT'],
    default: 'text',
    scopes: logging,
    description: 'form of a log entry',
  },
  port: {
    type: 'integer',
    min: 1,
    max: 65_535,
    flag: 'port',
    default: 7080,
    valueName: 'port',
    scopes: ['server'],
    description: 'port of the control plane; the default moves to the next free one',
  },
  host: {
    type: 'text',
    flag: 'host',
    default: '127.0.0.1',
    valueName: 'address',
    scopes: ['server'],
    description: 'address to listen on; one that is not loopback needs KUBIYA_SERVER_TOKEN_FILE',
  },
  advertise: {
    type: 'text',
    flag: 'advertise',
    defaultText: 'the host',
    valueName: 'host',
    scopes: ['server'],
    description: 'host name that workers are told to connect to',
  },
  dataDirectory: {
    type: 'path',
    flag: 'data-dir',
    defaultText: '~/.kubiya/local',
    valueName: 'directory',
    scopes: ['server', 'data'],
    description: 'directory of the databases',
  },
  serverTokenFile: {
    type: 'path',
    environment: ['KUBIYA_SERVER_TOKEN_FILE'],
    defaultText: 'a token made at the first start',
    scopes: ['server'],
    description: 'file that holds the bearer token which clients must send',
  },
  temporalAddress: {
    type: 'text',
    flag: 'temporal-address',
    defaultText: 'the dev server inside this binary',
    valueName: 'host:port',
    scopes: ['server'],
    description: 'Temporal cluster to use instead of the dev server',
  },
  temporalNamespace: {
    type: 'text',
    flag: 'temporal-namespace',
    default: 'default',
    valueName: 'name',
    scopes: ['server'],
    description: 'namespace on that cluster',
  },
  temporalApiKeyFile: {
    type: 'path',
    flag: 'temporal-api-key-file',
    valueName: 'file',
    scopes: ['server'],
    description: 'file that holds the API key of that cluster',
  },
  temporalTls: {
    type: 'switch',
    flag: 'temporal-tls',
    default: false,
    scopes: ['server'],
    description: 'use TLS to that cluster (implied by an API key)',
  },
  contextName: {
    type: 'text',
    flag: 'context',
    environment: ['KUBIYA_CONTEXT'],
    defaultText: 'current-context of the context file',
    valueName: 'name',
    scopes: [...connecting, 'contexts', 'login', 'show'],
    description: 'context of the context file to use',
  },
  loginIssuer: {
    type: 'url',
    environment: ['KUBIYA_LOGIN_ISSUER'],
    default: 'https://kubiya.us.auth0.com',
    scopes: ['login'],
    description: 'identity provider of `kubiya login`',
  },
  loginClientId: {
    type: 'text',
    environment: ['KUBIYA_LOGIN_CLIENT_ID'],
    default: 'SxpP9OU7VSvvPivHFQY5Get3uC1Bx4Jf',
    scopes: ['login'],
    description: 'client id that the identity provider knows us by',
  },
  loginAudience: {
    type: 'text',
    environment: ['KUBIYA_LOGIN_AUDIENCE'],
    default: 'https://kubiya.ai/api',
    scopes: ['login'],
    description: 'programming interface that the token is for',
  },
  loginPort: {
    type: 'integer',
    min: 1,
    max: 65_535,
    environment: ['KUBIYA_LOGIN_PORT'],
    // Part of the redirect that is registered with the identity provider.
    default: 9000,
    scopes: ['login'],
    description: 'loopback port on which the identity provider answers; its redirect must be registered there',
  },
  httpProxy: {
    type: 'proxy',
    environment: ['HTTP_PROXY', 'http_proxy'],
    scopes: networking,
    description: 'proxy for plain HTTP',
  },
  httpsProxy: {
    type: 'proxy',
    environment: ['HTTPS_PROXY', 'https_proxy'],
    scopes: networking,
    description: 'proxy for HTTPS and for the connection to Temporal',
  },
  noProxy: {
    type: 'text',
    environment: ['NO_PROXY', 'no_proxy'],
    scopes: networking,
    description: 'hosts that are reached without a proxy: names with all below them, host:port, address ranges, or *',
  },
  caFile: {
    type: 'path',
    environment: ['KUBIYA_CA_FILE', 'SSL_CERT_FILE'],
    scopes: networking,
    description: 'PEM file of certificate authorities to trust besides the usual ones',
  },
  isDebug: {
    type: 'switch',
    environment: ['KUBIYA_DEBUG'],
    default: false,
    scopes: networking,
    description: 'show stack traces and log in detail',
  },
  mustVerifyCache: {
    type: 'switch',
    environment: ['KUBIYA_VERIFY'],
    default: false,
    scopes: ['exec', 'worker', 'server'],
    description: 'hash the programs in the cache at every start, not only after a change',
  },
  isNonInteractive: {
    type: 'switch',
    flag: 'non-interactive',
    environment: ['KUBIYA_NON_INTERACTIVE'],
    default: false,
    scopes: ['exec', 'here'],
    flagScopes: ['exec'],
    description: 'never ask; what would be asked is an error',
  },
} as const satisfies Record<string, OptionDeclaration>;

export type OptionName = keyof typeof options;

/** The type of an option's value; durations and seconds are milliseconds from here on. */
export type OptionValue<Name extends OptionName> = (typeof options)[Name] extends { type: 'switch' }
  ? boolean
  : (typeof options)[Name] extends { type: 'integer' | 'seconds' | 'duration' | 'bytes' | 'cpus' | 'usd' }
    ? number
    : (typeof options)[Name] extends { type: 'choice'; choices: readonly (infer Choice)[] }
      ? Choice
      : string;

/** A value as a source gave it, with where it came from. */
export interface RawValue {
  readonly value: string;
  readonly origin: Origin;
}
export type RawConfig = Readonly<Partial<Record<OptionName, RawValue>>>;

export function optionEntries(): readonly (readonly [OptionName, OptionDeclaration])[] {
  return Object.entries(options) as readonly (readonly [OptionName, OptionDeclaration])[];
}

/** The options of a scope that have a flag, for the command line. */
export function flagOptions(scope: CommandScope): readonly (OptionDeclaration & { readonly flag: string })[] {
  return optionEntries().flatMap(([, option]) =>
    option.flag !== undefined && (option.flagScopes ?? option.scopes).includes(scope)
      ? [{ ...option, flag: option.flag }]
      : [],
  );
}
