// `kubiya worker start` in the foreground: one worker of one queue, and the local control plane if nobody else runs it.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { prepareHome, workerPaths, type WorkerPaths } from '../config/paths.ts';
import { createControlPlaneClient, type ControlPlaneClient } from '../controlplane/client.ts';
import { findConnection } from '../controlplane/local-server.ts';
import { trustingFetch } from '../controlplane/trust.ts';
import { KubiyaError, messageOf } from '../errors.ts';
import { systemClock } from '../lib/clock.ts';
import { ensureSecureDirectory } from '../lib/secure-directory.ts';
import { createGroupRecord, markStopped, ownIdentity, writeInstance } from '../supervisor/instance.ts';
import { acquireLock } from '../supervisor/lock.ts';
import { version } from '../version.ts';
import { createInstanceScope, type InstanceScope } from './instance-scope.ts';
import { startPersistentControlPlane, type LocalControlPlane } from './local-control-plane.ts';
import type { ProcessIo } from './process-io.ts';
import { resolveQueue } from './queue.ts';
import { loadTemporalWorker, startSessionWorker, type SessionWorker } from './session-worker.ts';
import { installSignals, type StopSignals } from './signals.ts';
import { createTeardown, type Teardown } from './teardown.ts';
import { prepareWorkerPlace, sweepLeftovers } from './worker-place.ts';

/** Lines kept for the next heartbeat; the server keeps a hundred. */
const heartbeatLogLinesMax = 100;
/** While clients are attached the owner of the local control plane looks this often whether they are done. */
const attachedPollMs = 500;

/** Returns the exit code. Throws a KubiyaError when the worker could not start. */
export async function runWorkerProcess(config: Config, io: ProcessIo): Promise<number> {
  const { queue: typedQueue } = config.worker;
  if (typedQueue === undefined) throw queueMissing();
  prepareHome(config.paths);
  const engine = loadTemporalWorker(config);
  engine.catch(() => undefined); // awaited when it is needed
  const signals = installSignals();
  const place = workerPaths(config.paths, typedQueue);
  prepareWorkerPlace(place);
  const logLines: string[] = [];
  let header: LogHeader = { state: 'starting' };
  const scope = await createInstanceScope({
    config,
    component: 'kubiya',
    logFile: place.logFile,
    stderr: io.isTty && io.hasColour !== false ? 'colour' : 'plain',
    groups: createGroupRecord(place.directory),
    logHeader: () => ({ message: headerMessage(header), fields: { version, queue: typedQueue, ...header } }),
    onLogLine: (line) => {
      logLines.push(line);
      if (logLines.length > heartbeatLogLinesMax) logLines.shift();
    },
  });
  const teardown = createTeardown(() => scope.log);
  const workerTeardown = createTeardown(() => scope.log);
  teardown.add('guardian', 2_000, () => scope.guardian.stop());
  const forced = new AbortController();
  const starting = new AbortController();
  signals.onSignal((count) => (count >= 3 ? forced : starting).abort());
  try {
    sweepLeftovers(config.paths.workersDirectory);
    const { client, local } = await connect(config, scope, teardown);
    const queue = await resolveQueue(
      client,
      { queue: typedQueue, environmentName: config.environmentName, mayCreate: config.profile.kind === 'local' },
      starting.signal,
    );
    lockQueue(config, scope, queue.id, typedQueue, workerTeardown);
    const running = await startSessionWorker(
      { config, scope, client, queue, place, engine, logLines: () => logLines.splice(0), signal: starting.signal },
      workerTeardown,
    );
    const { workerId } = running.session;
    header = { state: 'Connected to Temporal', since: new Date().toISOString(), worker: workerId };
    record(place, scope, running, { queue: typedQueue, queueId: queue.id, url: client.url }, workerTeardown);
    scope.log.info('Ready', { queue: queue.name, queue_id: queue.id, worker: workerId, log: place.logFile });
    if (io.isTty)
      io.writeLine(`Use it in another terminal: kubiya exec agent default --queue ${queue.name} "<prompt>"`);
    const code = await serve(config, scope, running, local, signals, forced.signal);
    await orForced(workerTeardown.run(), forced.signal);
    if (local !== undefined) await orForced(whileAttached(local, scope, forced.signal), forced.signal);
    return forced.signal.aborted ? 130 : code;
  } catch (error) {
    if (starting.signal.aborted) return 130;
    throw error;
  } finally {
    // Forced: the guardian, which is not dismissed, ends what still runs as soon as this process is gone.
    if (!forced.signal.aborted) {
      await orForced(workerTeardown.run(), forced.signal);
      await orForced(teardown.run(), forced.signal);
    }
    signals.dispose();
    scope.log.info(forced.signal.aborted ? 'Left at once' : 'Stopped');
    scope.log.close();
  }
}

/** Waits for `work` unless the third signal comes first. */
function orForced(work: Promise<unknown>, forced: AbortSignal): Promise<unknown> {
  const left = new Promise<void>((resolve) => {
    if (forced.aborted) resolve();
    forced.addEventListener('abort', () => resolve(), { once: true });
  });
  return Promise.race([work, left]);
}

interface LogHeader {
  readonly state: string;
  readonly since?: string;
  readonly worker?: string;
}

function headerMessage({ since }: LogHeader): string {
  return since === undefined ? 'The worker is starting' : `Connected to Temporal since ${since}`;
}

function queueMissing(): KubiyaError {
  return new KubiyaError('a worker needs a queue', {
    kind: 'usage',
    code: 'queue_missing',
    hint: 'name it with --queue-id or QUEUE_ID, for example `kubiya worker start --queue-id default`',
  });
}

interface Connected {
  readonly client: ControlPlaneClient;
  /** Present when this process runs the local control plane. */
  readonly local: LocalControlPlane | undefined;
}

async function connect(config: Config, scope: InstanceScope, teardown: Teardown): Promise<Connected> {
  const { log } = scope;
  log.info(config.profile.reason);
  const fetchWithCa = trustingFetch(config.network.caFile);
  const clientOf = (url: string, token: string | (() => string)) =>
    createControlPlaneClient({ url, token, fetch: fetchWithCa, log: log.child('controlplane') });
  const found = await findConnection(config, fetchWithCa);
  if (found !== undefined) {
    if (typeof found.token === 'string') scope.redactor.register(found.token);
    log.info('Using the control plane', { url: found.url, profile: found.kind });
    return { client: clientOf(found.url, found.token), local: undefined };
  }
  const local = await startPersistentControlPlane(config, scope, teardown);
  if (local !== undefined) {
    log.info('Started the local control plane', { url: local.url, temporal: local.temporalAddress });
    return { client: clientOf(local.url, local.token), local };
  }
  // Somebody took the lock between our look and our start: it will answer soon.
  for (let waitedMs = 0; waitedMs < ownerStartMsMax; waitedMs += ownerPollMs) {
    await systemClock.sleep(ownerPollMs);
    const other = await findConnection(config, fetchWithCa);
    if (other !== undefined) return { client: clientOf(other.url, other.token), local: undefined };
  }
  throw new KubiyaError('another process holds the local data directory but its server does not answer', {
    kind: 'network',
    code: 'local_server_silent',
    hint: 'see `kubiya server status`; stop that process and start again',
  });
}

/** A cold start of the dev server on a slow disk takes this long. */
const ownerStartMsMax = 30_000;
const ownerPollMs = 200;

function lockQueue(
  config: Config,
  scope: InstanceScope,
  queueId: string,
  typedQueue: string,
  teardown: Teardown,
): void {
  const directory = join(config.paths.home, 'locks');
  ensureSecureDirectory(directory);
  const result = acquireLock(join(directory, `${queueId}.lock`), { instanceId: scope.instanceId });
  if (result.kind === 'held') {
    const owner = result.holder === undefined ? 'another process' : `the process ${result.holder.pid}`;
    throw new KubiyaError(`${owner} already runs a worker of the queue ${typedQueue} on this machine`, {
      kind: 'usage',
      code: 'queue_locked',
      hint: 'stop it first (kill -TERM drains it), or start this worker on another queue',
    });
  }
  teardown.add('lock of the queue', 1_000, () => result.lock.release());
}

function record(
  place: WorkerPaths,
  scope: InstanceScope,
  running: SessionWorker,
  names: { readonly queue: string; readonly queueId: string; readonly url: string },
  teardown: Teardown,
): void {
  const instance = {
    ...ownIdentity(),
    instance_id: scope.instanceId,
    version,
    mode: 'foreground' as const,
    queue: names.queue,
    queue_id: names.queueId,
    worker_id: running.session.workerId,
    directory: place.directory,
    log_file: place.logFile,
    control_plane_url: names.url,
    web_url: null,
    ports: {},
    started_at: new Date().toISOString(),
    stopped_at: null,
    stop_reason: null,
  };
  writeInstance(place.directory, instance);
  teardown.add('record of the worker', 1_000, () => {
    if (existsSync(place.directory)) markStopped(place.directory, instance, 'stopped');
  });
}

/** Until a signal or a fault: then down the ladder. Returns the exit code. */
async function serve(
  config: Config,
  scope: InstanceScope,
  running: SessionWorker,
  local: LocalControlPlane | undefined,
  signals: StopSignals,
  forced: AbortSignal,
): Promise<number> {
  const { log } = scope;
  const { worker } = running;
  const limitMs = config.worker.drainTimeoutMs;
  const stopAsked = new Promise<'signal'>((resolve) => {
    signals.onSignal((count, name) => {
      if (count === 1) {
        log.info(`${name}: no new work is taken, running calls get ${limitMs / 1000} s; a second signal cancels them`);
        resolve('signal');
      } else if (count === 2) {
        log.warn(`${name} again: running calls are cancelled; a third signal leaves at once`);
        worker.cancel();
      }
    });
  });
  const ended = worker.ended.then(
    () => 'ended' as const,
    (error: unknown) => {
      log.error('The worker ended by a fault', { reason: messageOf(error) });
      return 'fault' as const;
    },
  );
  const lost = local?.failed.then((reason) => {
    log.error('Temporal could not be kept alive', { reason });
    return 'fault' as const;
  });
  const cause = await Promise.race([stopAsked, ended, ...(lost === undefined ? [] : [lost])]);
  const draining = worker.drain(cause === 'signal' ? limitMs : 0).then(({ finished, stopped }) => {
    log.info('Drained', { calls_finished: finished, calls_stopped: stopped });
  });
  await orForced(draining, forced);
  return cause === 'fault' ? 1 : 0;
}

/** The owner of the local control plane stays until nobody else needs it. */
async function whileAttached(local: LocalControlPlane, scope: InstanceScope, forced: AbortSignal): Promise<void> {
  for (let hasSaid = false; !forced.aborted; hasSaid = true) {
    const { liveWorkers, openStreams } = local.activity();
    if (liveWorkers === 0 && openStreams === 0) return;
    if (!hasSaid) {
      scope.log.info('Others still use this local control plane, waiting for them; a third signal leaves at once', {
        workers: liveWorkers,
        streams: openStreams,
      });
    }
    await systemClock.sleep(attachedPollMs);
  }
}
