// The worker as a process, in the foreground or under its supervisor: one worker of one queue, and the local control plane if nobody else runs it.
import type { Config } from '../config/config.ts';
import { prepareHome, workerPaths, type WorkerPaths } from '../config/paths.ts';
import { exitCodes, KubiyaError, messageOf } from '../errors.ts';
import { createGroupRecord } from '../supervisor/instance.ts';
import { version } from '../version.ts';
import { checkCoexistence } from './coexistence.ts';
import { createInstanceScope, type InstanceScope } from './instance-scope.ts';
import type { LocalControlPlane } from './local-control-plane.ts';
import type { ProcessIo } from './process-io.ts';
import { preparePythonAtStart } from './python-at-start.ts';
import { resolveQueue } from './queue.ts';
import { loadTemporalWorker } from './runtime.ts';
import { startSessionWorker, type SessionWorker } from './session-worker.ts';
import { installSignals } from './signals.ts';
import { startRetention } from './retention.ts';
import { createStopRequests, type StopRequests } from './stop-requests.ts';
import { chargeOf } from './supervisor-charge.ts';
import {
  createSupervisorLink,
  failedStart,
  lastWords,
  type SupervisorLink,
  watchSupervisor,
} from './supervisor-link.ts';
import { createTeardown, type Teardown } from './teardown.ts';
import { connect, whileAttached } from './worker-connection.ts';
import { startWorkerHttp } from './worker-http.ts';
import { startWorkerMetrics } from './worker-metrics.ts';
import { limitReached, type LimitReached } from './worker-limits.ts';
import { lockPlace, lockQueue } from './worker-locks.ts';
import { type Drained, keepRecord, type KeptRecord } from './worker-record.ts';
import { prepareWorkerPlace, sweepLeftovers } from './worker-place.ts';
import { createWorkerView, type WorkerView } from './worker-view.ts';

/** Lines kept for the next heartbeat; the server keeps a hundred. */
const heartbeatLogLinesMax = 100;

/** Returns the exit code. Throws a KubiyaError when the worker could not start. */
export async function runWorkerProcess(config: Config, io: ProcessIo): Promise<number> {
  const { queue: typedQueue } = config.worker;
  if (typedQueue === undefined) throw queueMissing();
  prepareHome(config.paths);
  const engine = loadTemporalWorker(config);
  engine.catch(() => undefined); // awaited when it is needed
  const signals = installSignals();
  const place = workerPaths(config.paths, typedQueue);
  const link = createSupervisorLink(config.supervisedBy?.reveal());
  await orTell(link, () => prepareWorkerPlace(place));
  const logLines: string[] = [];
  let header: LogHeader = { state: 'starting' };
  const scope = await createInstanceScope({
    config,
    component: 'kubiya',
    logFile: place.logFile,
    stderr: stderrForm(config, io),
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
  const view = createWorkerView({ instanceId: scope.instanceId, queue: typedQueue });
  const stops = createStopRequests(signals);
  const forced = new AbortController();
  const starting = new AbortController();
  stops.onStep(({ rung }) => (rung === 'leave' ? forced : starting).abort());
  try {
    return await live(
      {
        config,
        io,
        typedQueue,
        place,
        scope,
        engine,
        view,
        stops,
        link,
        logLines: () => logLines.splice(0),
        onHeader: (next) => (header = next),
        starting: starting.signal,
        forced: forced.signal,
      },
      teardown,
      workerTeardown,
    );
  } catch (error) {
    if (starting.signal.aborted) {
      await link.tell(lastWords({ code: 130, reason: 'stopped while it started', isRetryable: false }));
      return 130;
    }
    await link.tell(failedStart(error));
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

/** What one worker process is made of. */
interface Life {
  readonly config: Config;
  readonly io: ProcessIo;
  readonly typedQueue: string;
  readonly place: WorkerPaths;
  readonly scope: InstanceScope;
  readonly engine: ReturnType<typeof loadTemporalWorker>;
  readonly view: WorkerView;
  readonly stops: StopRequests;
  readonly link: SupervisorLink;
  readonly logLines: () => readonly string[];
  readonly onHeader: (header: LogHeader) => void;
  /** Aborted by the first step of a stop: what has not started yet need not. */
  readonly starting: AbortSignal;
  /** Aborted by the last step. */
  readonly forced: AbortSignal;
}

/** From the lock to the last word. What it starts is undone by the teardowns, that of the worker first. */
async function live(life: Life, teardown: Teardown, workerTeardown: Teardown): Promise<number> {
  const { config, io, typedQueue, place, scope, engine, view, stops, link, logLines, onHeader } = life;
  const { starting, forced } = life;
  lockPlace(config, scope, typedQueue, teardown);
  sweepLeftovers(config.paths.workersDirectory);
  const metrics = await startWorkerMetrics({ config, scope, view, queue: typedQueue }, teardown);
  const http = await startWorkerHttp({
    web: config.web,
    metricsListener: config.metrics,
    view,
    metrics: () => metrics.page(),
    contentType: metrics.contentType,
    onStop: (request) => stops.request(request),
    onSupervisor: (supervisor) => link.follow(supervisor),
  });
  teardown.add('HTTP server', 2_000, () => http.stop());
  if (http.webUrl !== undefined || http.metricsUrl !== undefined)
    scope.log.info('Listening', { web: http.webUrl, metrics: http.metricsUrl });
  const record = keepRecord({ config, place, scope, http, queue: typedQueue }, teardown);
  keepSupervised(life, record, teardown);
  await link.tell({ type: 'started', pid: process.pid, instance_id: scope.instanceId, control: http.control });
  const { client, local } = await connect({ config, scope, metrics }, teardown);
  const queue = await resolveQueue(
    client,
    { queue: typedQueue, environmentName: config.environmentName, mayCreate: config.profile.kind === 'local' },
    starting,
  );
  view.setQueueId(queue.id);
  lockQueue(config, scope, queue.id, typedQueue, workerTeardown);
  await checkCoexistence({ config, client, queue, view, log: scope.log.child('worker') });
  const running = await startSessionWorker(
    {
      config,
      scope,
      client,
      queue,
      place,
      engine,
      logLines,
      telemetry: metrics.telemetry,
      onWorkerId: (id) => record.update({ worker_id: id }),
      signal: starting,
    },
    workerTeardown,
  );
  const { workerId } = running.session;
  onHeader({ state: 'Connected to Temporal', since: new Date().toISOString(), worker: workerId });
  view.attach(() => running.health());
  metrics.attach(running, workerTeardown);
  view.setState('running');
  record.update({ queue_id: queue.id, queue_name: queue.name, worker_id: workerId, control_plane_url: client.url });
  scope.log.info('Ready', { queue: queue.name, queue_id: queue.id, worker: workerId, log: place.logFile });
  preparePythonAtStart({ place, scope }, workerTeardown);
  startRetention({ config, scope, place, client, view }, workerTeardown);
  await link.tell({ type: 'ready', pid: process.pid, queue_id: queue.id, queue_name: queue.name, worker_id: workerId });
  if (io.isTty) io.writeLine(`Use it in another terminal: kubiya exec agent default --queue ${queue.name} "<prompt>"`);
  const end = await serve({ config, scope, running, local, stops, view, link, forced });
  record.ending({ reason: end.reason, drained: end.drained });
  await orForced(workerTeardown.run(), forced);
  if (local !== undefined) await orForced(whileAttached(local, scope, forced), forced);
  const code = forced.aborted ? 130 : end.exitCode;
  await link.tell(lastWords({ code, reason: end.reason, isRetryable: end.isRetryable }));
  return code;
}

/** A supervised worker sees to it that it stays one, until it is told to stop. */
function keepSupervised({ config, link, scope, stops, view }: Life, record: KeptRecord, teardown: Teardown): void {
  const environment = config.childEnvironmentBase.reveal();
  const charge = chargeOf(environment);
  if (link.supervisor === undefined || charge === undefined) return;
  const over = new AbortController();
  const worker = (): NonNullable<typeof charge.adopted> => {
    const { pid, start_time, instance_id, control, queue_id, queue_name } = record.now();
    const { restarts = 0 } = link.supervisor ?? {};
    return {
      pid,
      start_time,
      instance_id,
      control,
      queue_id,
      queue_name,
      restarts,
      is_ready: view.state === 'running',
    };
  };
  void watchSupervisor({ link, charge, environment, log: scope.log, worker }, over.signal);
  stops.onStep(() => over.abort());
  teardown.add('watch of the supervisor', 1_000, () => over.abort());
}

async function orTell(link: SupervisorLink, step: () => void): Promise<void> {
  try {
    step();
  } catch (error) {
    await link.tell(failedStart(error));
    throw error;
  }
}

/** A supervised worker's stderr is a file for what cannot be logged. */
function stderrForm(config: Config, io: ProcessIo): 'none' | 'plain' | 'colour' {
  if (config.supervisedBy !== undefined) return 'none';
  return io.isTty && io.hasColour !== false ? 'colour' : 'plain';
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

interface Serving {
  readonly config: Config;
  readonly scope: InstanceScope;
  readonly running: SessionWorker;
  readonly local: LocalControlPlane | undefined;
  readonly stops: StopRequests;
  readonly view: WorkerView;
  readonly link: SupervisorLink;
  readonly forced: AbortSignal;
}

interface WorkerEnd extends LimitReached {
  /** Nothing of Temporal's side works any more: its calls get no time. */
  readonly isFault?: true;
  readonly drained?: Drained;
}

/** Until it is told to stop, a limit is reached, or a fault: then down the ladder. */
async function serve({ config, scope, running, local, stops, view, link, forced }: Serving): Promise<WorkerEnd> {
  const { log } = scope;
  const { worker } = running;
  const over = new AbortController();
  let limitMs = config.worker.drainTimeoutMs;
  const stopAsked = new Promise<WorkerEnd>((resolve) => {
    stops.onStep(({ rung, reason, isSignal, drain_timeout_ms }) => {
      if (rung === 'drain') {
        limitMs = drain_timeout_ms ?? limitMs;
        const next = isSignal ? '; a second signal cancels them' : '';
        log.info(`${reason}: no new work is taken, running calls get ${limitMs / 1000} s${next}`);
        resolve({ reason: isSignal ? `stopped by ${reason}` : reason, exitCode: 0, isRetryable: false });
      } else if (rung === 'cancel') {
        log.warn(`${reason}${isSignal ? ' again' : ''}: running calls are cancelled; a third signal leaves at once`);
        worker.cancel();
      }
    });
  });
  const fault = (reason: string): WorkerEnd => ({
    reason,
    exitCode: exitCodes.agent_failed,
    isRetryable: true,
    isFault: true,
  });
  const ended = worker.ended.then(
    () => fault('the worker ended by itself'),
    (error: unknown) => {
      log.error('The worker ended by a fault', { reason: messageOf(error) });
      return fault(`the worker ended by a fault: ${messageOf(error)}`);
    },
  );
  const lost = local?.failed.then((reason) => {
    log.error('Temporal could not be kept alive', { reason });
    return fault(`Temporal could not be kept alive: ${reason}`);
  });
  const warn = (sentence: string): void => {
    log.warn(sentence);
    view.warn('limits', sentence);
  };
  const limited = limitReached(config.worker, running, over.signal, { warn }).then((limit): WorkerEnd => {
    log.info(`${limit.reason}: no new work is taken, running calls get ${limitMs / 1000} s`);
    return limit;
  });
  const end = await Promise.race([stopAsked, ended, limited, ...(lost === undefined ? [] : [lost])]);
  over.abort();
  view.setState('draining');
  void link.tell({ type: 'draining', pid: process.pid, reason: end.reason });
  let drained: Drained | undefined;
  const draining = worker.drain(end.isFault ? 0 : limitMs).then(({ finished, stopped }) => {
    drained = { calls_finished: finished, calls_stopped: stopped };
    log.info('Drained', drained);
  });
  await orForced(draining, forced);
  return { ...end, ...(drained === undefined ? {} : { drained }) };
}
