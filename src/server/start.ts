// Starts the embedded control plane: store, Temporal client, reconciler and HTTP listener, taken down in reverse.
import { KubiyaError, errnoOf } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { requestBodyBytesMax } from '../protocol/control-plane.ts';
import type { Log } from '../telemetry/log.ts';
import { createApp } from './app.ts';
import type { ServerDeps } from './deps.ts';
import { createEventLog } from './events.ts';
import { createJobScheduler, type JobScheduler } from './job-scheduler.ts';
import { dropAllDeadWorkers } from './present-workers.ts';
import type { FindPlannerModel } from './planner.ts';
import { createReconciler, type Reconciler } from './reconcile.ts';
import { seed } from './seed.ts';
import { setupFailure } from './store/database.ts';
import { openStore } from './store/store.ts';
import { createTemporal, type TemporalTarget } from './temporal.ts';

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
  /** Temporal's database, when its server is ours. */
  readonly temporalDatabasePath?: string | undefined;
  /** Address of Temporal that workers are told when it is not `temporal.address` (`--advertise`). */
  readonly advertisedTemporalAddress?: string | undefined;
  /** The host name in `url`, when others reach us by another one than `host`. */
  readonly advertisedHost?: string | undefined;
  readonly log: Log;
  readonly version: string;
  /** Of the process; its record on disk has the same. */
  readonly instanceId: string;
  readonly clock: Clock;
  /** Absent: plans are made by rules. */
  readonly findPlannerModel?: FindPlannerModel | undefined;
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

/** Ports looked at after the preferred one; more neighbours than this on one machine is another problem. */
const portAttemptsMax = 100;
/** Longer than the interval of keep-alives, so that no stream is cut; Bun's default of 10 s would cut all. */
const idleTimeoutSeconds = 60;
/** Requests that are being answered get this long when the server stops; streams are ended at once. */
const stopTimeoutMs = 2_000;
const stopPollIntervalMs = 5;

/**
 * Returns when requests are answered. Temporal need not be there yet. Throws a KubiyaError when the port is taken or the
 * database cannot be used.
 */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { clock, log, temporal: target } = options;
  const store = openStore(options.databasePath, clock);
  const temporal = createTemporal(target, options.signingKey);
  const stopping = new AbortController();
  const events = createEventLog(store);
  let reconciler: Reconciler | undefined;
  let jobScheduler: JobScheduler | undefined;
  const deps: ServerDeps = {
    store,
    events,
    temporal,
    registration: {
      temporalAddress: options.advertisedTemporalAddress ?? target.address,
      temporalNamespace: target.namespace,
      temporalApiKey: target.apiKey ?? '',
      hasTemporalTls: target.tls !== undefined && target.tls !== false,
      isLocal: target.isLocal,
      signingKey: Buffer.from(options.signingKey).toString('base64'),
    },
    token: options.token,
    databases: databasesOf(options),
    log,
    clock,
    findPlannerModel: options.findPlannerModel,
    version: options.version,
    instanceId: options.instanceId,
    wake: () => reconciler?.wake(),
    syncJob: async (jobId) => jobScheduler?.sync(jobId),
    stopping: stopping.signal,
  };
  try {
    seed(deps);
    const server = listen(options, createApp(deps));
    reconciler = createReconciler(deps);
    jobScheduler = createJobScheduler(deps);
    // What was open when the last server ended.
    reconciler.wake();
    const port = server.port ?? options.port;
    let stopped: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      stopping.abort();
      await drain(server, clock);
      const schedulerStopped = jobScheduler?.stop();
      await temporal.close();
      await reconciler?.stop();
      await schedulerStopped;
      events.close();
      store.close();
    };
    return {
      url: `http://${urlHost(options.advertisedHost ?? options.host)}:${port}`,
      port,
      stop: () => (stopped ??= stop()),
      activity: () => {
        dropAllDeadWorkers(deps);
        return {
          liveWorkers: store.queues.liveWorkerCount(),
          openStreams: events.subscriberCount,
          openExecutions: store.executions.openCount(),
        };
      },
    };
  } catch (error) {
    await temporal.close();
    store.close();
    throw setupFailure(error, options.databasePath);
  }
}

function databasesOf({ databasePath, temporalDatabasePath }: ControlPlaneOptions): ServerDeps['databases'] {
  const own = databasePath === ':memory:' ? [] : [{ name: 'control-plane', path: databasePath }];
  return temporalDatabasePath === undefined ? own : [...own, { name: 'temporal', path: temporalDatabasePath }];
}

type Server = ReturnType<typeof Bun.serve>;

function listen(options: ControlPlaneOptions, app: ReturnType<typeof createApp>): Server {
  const { host, port, isPortExplicit } = options;
  const attempts = isPortExplicit || port === 0 ? 1 : portAttemptsMax;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return Bun.serve({
        hostname: host,
        port: port + attempt,
        idleTimeout: idleTimeoutSeconds,
        maxRequestBodySize: requestBodyBytesMax * 2, // above our own limit, which answers in JSON
        fetch: (request) => app.fetch(request),
      });
    } catch (error) {
      const isTaken = errnoOf(error) === 'EADDRINUSE';
      if (isTaken && attempt + 1 < attempts) continue;
      throw new KubiyaError(isTaken ? `Port ${port} is taken` : `The server cannot listen on ${host}:${port}`, {
        kind: 'configuration',
        code: isTaken ? 'port_taken' : 'listen_failed',
        hint: isTaken
          ? 'choose another with --port, or see what runs: kubiya server status'
          : 'check --host and --port',
        cause: error,
      });
    }
  }
}

/** Lets requests be answered and streams say goodbye; idle connections are closed. */
async function drain(server: Server, clock: Clock): Promise<void> {
  const deadline = clock.elapsed() + stopTimeoutMs;
  while (server.pendingRequests > 0 && clock.elapsed() < deadline) await clock.sleep(stopPollIntervalMs);
  await server.stop(true);
}

/** IPv6 addresses stand in brackets; a wildcard is no address that one can connect to. */
function urlHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
