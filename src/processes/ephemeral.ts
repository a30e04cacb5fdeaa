// A worker for one execution, of which nothing is left: `kubiya exec --local`, with a private control plane when there is no key,
// and on demand, when no worker polls a queue of the control plane.
import { rmSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import { prepareHome, workerPaths, type WorkerPaths } from '../config/paths.ts';
import { createControlPlaneClient, type ControlPlaneClient } from '../controlplane/client.ts';
import { findConnection } from '../controlplane/local-server.ts';
import { createFetch } from '../lib/network.ts';
import { KubiyaError, messageOf } from '../errors.ts';
import { discoverProvider, resolveModel } from '../gateway/providers.ts';
import { systemClock } from '../lib/clock.ts';
import type { Queue } from '../protocol/control-plane.ts';
import { ephemeralQueuePrefix } from '../protocol/instance.ts';
import { createGroupRecord, ownIdentity, writeInstance } from '../supervisor/instance.ts';
import { version } from '../version.ts';
import { createInstanceScope, type InstanceScope } from './instance-scope.ts';
import { startPrivateControlPlane } from './local-control-plane.ts';
import { startTracing } from './open-telemetry.ts';
import { loadTemporalWorker } from './runtime.ts';
import { startSessionWorker, type SessionWorker } from './session-worker.ts';
import { createTeardown, type Teardown } from './teardown.ts';
import { prepareWorkerPlace, sweepLeftovers } from './worker-place.ts';

export interface EphemeralOptions {
  readonly onProgress: (text: string) => void;
  /** Aborted by the first Ctrl+C while things are starting. */
  readonly signal?: AbortSignal;
  /** Uses the control plane that the configuration means, also the local one: it has agents of its own. */
  readonly isOnDemand?: boolean;
}

export interface Ephemeral {
  readonly url: string;
  readonly token: string | (() => string);
  readonly queueId: string;
  readonly queueName: string;
  /** Where the worker's log is while it runs. */
  readonly logFile: string;
  /** Resolves with the reason when the worker died; else never. */
  readonly failed: Promise<string>;
  /** Drains, disconnects, deletes queue, worker and files. May be called again. */
  stop(): Promise<void>;
}

/** The execution has ended or was given up when this begins: what still runs is stopped soon. */
const drainMs = 2_000;
const queueDeleteAttemptsMax = 20;
const queueDeleteRetryMs = 250;
/** The cloud removes the queue by itself an hour after a run that was cut off. */
const autoCleanupSeconds = 3_600;
/** Our own server sees at once that the worker is gone; this is for one that lost its way to it. */
const localAutoCleanupSeconds = 60;

export async function startEphemeral(config: Config, options: EphemeralOptions): Promise<Ephemeral> {
  prepareHome(config.paths);
  await checkProvider(config);
  const engine = loadTemporalWorker(config);
  engine.catch(() => undefined); // awaited when it is needed
  const name = queueName();
  const place = workerPaths(config.paths, name);
  prepareWorkerPlace(place);
  const scope = await createInstanceScope({
    config,
    component: 'kubiya',
    logFile: place.logFile,
    stderr: config.isDebug ? 'plain' : 'none',
    groups: createGroupRecord(place.directory),
  });
  const teardown = createTeardown(() => scope.log);
  teardown.add('guardian', 2_000, () => scope.guardian.stop());
  scope.guardian.removeOnDeath(place.directory);
  teardown.add('directory', 10_000, () => {
    scope.log.close(); // it would bring its directory back
    rmSync(place.directory, { recursive: true, force: true, maxRetries: 3 });
  });
  try {
    return await start(config, options, { name, place, scope, teardown, engine });
  } catch (error) {
    await teardown.run();
    throw error;
  }
}

interface Parts {
  readonly name: string;
  readonly place: WorkerPaths;
  readonly scope: InstanceScope;
  readonly teardown: Teardown;
  readonly engine: ReturnType<typeof loadTemporalWorker>;
}

async function start(config: Config, options: EphemeralOptions, parts: Parts): Promise<Ephemeral> {
  const { name, place, scope, teardown, engine } = parts;
  const signal = options.signal ?? new AbortController().signal;
  record(config, parts);
  sweepLeftovers(config.paths.workersDirectory);
  const connection = await connect(config, options, parts);
  signal.throwIfAborted();
  const client = createControlPlaneClient({
    url: connection.url,
    token: connection.token,
    fetch: createFetch(config.network),
    log: scope.log.child('controlplane'),
  });
  const queue = await createQueue(config, client, name);
  if (options.isOnDemand === true)
    options.onProgress(`No worker polls a queue, so one runs here for this execution, on the queue ${name}`);
  teardown.add('queue', 10_000, () => deleteQueue(client, queue.id));
  const tracer = await startTracing({ config, scope, queue: name }, teardown);
  const running = await startSessionWorker(
    {
      config,
      scope,
      client,
      queue: { id: queue.id, name },
      place,
      engine,
      logLines: () => [],
      telemetry: { meters: tracer === undefined ? [] : [tracer] },
      signal,
    },
    teardown,
  );
  teardown.add('worker', drainMs + 10_000, async () => void (await running.worker.drain(drainMs)));
  return {
    url: connection.url,
    token: connection.token,
    queueId: queue.id,
    queueName: name,
    logFile: place.logFile,
    failed: faultOf(running, scope),
    stop: () => teardown.run(),
  };
}

/** No provider is said before anything starts (exit 6). An agent's own model may still need another one. */
async function checkProvider(config: Config): Promise<void> {
  const credentials = config.providers.reveal();
  if (config.profile.kind === 'cloud') return; // registration may bring the gateway's
  resolveModel(
    config.model ?? (await discoverProvider(credentials, undefined, createFetch(config.network))),
    credentials,
  );
}

/** `local-exec-` is what the cloud knows as ephemeral; the last part keeps two starts in one second apart. */
function queueName(): string {
  const stamp = new Date().toISOString().replaceAll(/[-:]/g, '').replace('T', '-').slice(0, 15);
  return `${ephemeralQueuePrefix}${stamp}-${Math.random().toString(36).slice(2, 6)}`;
}

interface EphemeralConnection {
  readonly url: string;
  readonly token: string | (() => string);
}

async function connect(config: Config, options: EphemeralOptions, parts: Parts): Promise<EphemeralConnection> {
  if (config.profile.kind === 'cloud' || options.isOnDemand === true) {
    const found = await findConnection(config, createFetch(config.network));
    if (found !== undefined) return { url: found.url, token: found.token };
  }
  options.onProgress('Starting a private control plane and Temporal server');
  const local = await startPrivateControlPlane(config, parts.scope, parts.place.directory, parts.teardown);
  return { url: local.url, token: local.token };
}

async function createQueue(config: Config, client: ControlPlaneClient, name: string): Promise<Queue> {
  const environments = await client.listEnvironments();
  const environment =
    environments.find((one) => one.name === config.environmentName || one.id === config.environmentName) ??
    environments[0];
  if (environment === undefined) {
    throw new KubiyaError('the control plane has no environment for a temporary queue', {
      kind: 'api_refused',
      code: 'environment_missing',
      hint: 'create one with `kubiya environment create --name default`',
    });
  }
  return client.createQueue(environment.id, {
    name,
    ephemeral: true,
    single_execution_mode: true,
    auto_cleanup_after_seconds: config.profile.kind === 'cloud' ? autoCleanupSeconds : localAutoCleanupSeconds,
  });
}

/** A queue with a live worker is refused; ours has just disconnected, and the server may need a moment to believe it. */
async function deleteQueue(client: ControlPlaneClient, queueId: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await client.deleteQueue(queueId, { attemptsMax: 1 });
      return;
    } catch (error) {
      if (error instanceof KubiyaError && error.code.endsWith('not_found')) return;
      if (attempt >= queueDeleteAttemptsMax) throw error;
      await systemClock.sleep(queueDeleteRetryMs);
    }
  }
}

function record(config: Config, { name, place, scope }: Parts): void {
  writeInstance(place.directory, {
    ...ownIdentity(),
    instance_id: scope.instanceId,
    version,
    mode: 'foreground',
    queue: name,
    queue_id: name,
    worker_id: null,
    directory: place.directory,
    log_file: place.logFile,
    control_plane_url: config.controlPlane.url,
    web_url: null,
    ports: {},
    started_at: new Date().toISOString(),
    stopped_at: null,
    stop_reason: null,
  });
}

function faultOf({ worker, lost }: SessionWorker, { log }: InstanceScope): Promise<string> {
  return new Promise((resolve) => {
    void lost.then(({ reason }) => {
      log.error('The worker can get no work any more', { reason });
      resolve(reason);
    });
    worker.ended.catch((error: unknown) => {
      log.error('The worker ended by a fault', { reason: messageOf(error) });
      resolve(messageOf(error));
    });
  });
}
