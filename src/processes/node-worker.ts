// Runs in Node: the Temporal side of a worker whose other half is the binary at the end of a pipe. Nothing here may use Bun.
import { Socket } from 'node:net';
import { messageOf } from '../errors.ts';
import { sleep } from '../lib/backoff.ts';
import { killGroup } from '../lib/kill-group.ts';
import { createSpawner, type Spawner } from '../lib/spawn.ts';
import { createGroupRecord } from '../supervisor/instance.ts';
import type { Log, LogFields, LogLevel } from '../telemetry/log.ts';
import { createRedactor, type Redactor } from '../telemetry/redact.ts';
import { setNativeAddon } from '../worker/addon-path.ts';
import { type Channel, openChannel } from './channel.ts';
import {
  entryToWire,
  type HostVocabulary,
  nodeMarkerName,
  type NodeSnapshot,
  type NodeStart,
  type NodeVocabulary,
  sessionFromWire,
  temporalFromWire,
} from './node-protocol.ts';
import { ignoreSignals } from './signals.ts';
import { toWire } from './wire-error.ts';
import { addonUnloadable } from './addon-failure.ts';
import { startHostedWorker, type HostedWorker, type StartWorker, type WorkerHost } from './worker-deps.ts';

type Host = Channel<HostVocabulary>;

/** Where the binary put the pipe (lib/spawn.ts). */
const channelDescriptor = 3;
/** Far more than a round trip; a Temporal that needs longer is told about later. */
const firstLookMsMax = 500;
const firstLookPollMs = 5;
/** What has changed is told so soon; a person who looks at a status does not see the delay. */
const snapshotIntervalMs = 200;
/** Also what has not changed, so that the binary knows that we live. */
const snapshotsUntilSaidAgain = 10;

/** Until the binary is done with us, or gone: then what still runs is killed. Returns the exit code. */
export async function runNodeWorker(): Promise<number> {
  // A terminal and a service manager talk to the binary, which walks the ladder.
  ignoreSignals(['SIGINT', 'SIGTERM', 'SIGHUP']);
  const redactor = createRedactor();
  const groups = new Set<number>();
  let worker: HostedWorker | undefined;
  let isClosed = false;
  const theWorker = (): HostedWorker => {
    if (worker === undefined) throw new Error('the worker has not been started');
    return worker;
  };
  const host: Host = openChannel<NodeVocabulary, HostVocabulary>(new Socket({ fd: channelDescriptor }), {
    start: async (start, { signal }) => {
      worker = await startHere(start, { host, redactor, groups }, signal);
      worker.ended.then(
        () => host.tell('ended', null),
        (error: unknown) => host.tell('ended', toWire(error)),
      );
      await firstLook(worker);
      tellSnapshots(worker, host);
      return snapshotOf(worker);
    },
    greet: () => null,
    drain: (limitMs) => theWorker().drain(limitMs),
    close: async (publishLimitMs) => {
      await worker?.close(publishLimitMs);
      isClosed = true;
    },
    renew: (temporal) => theWorker().renew(temporalFromWire(temporal)),
    cancel: () => worker?.cancel(),
    settle: ({ executionId, end }) => worker?.settle(executionId, end),
    wake: () => worker?.wake(),
    secret: (secret) => redactor.register(secret),
  });
  redactor.follow((secret) => host.tell('secret', secret));
  await host.closed;
  for (const pgid of groups) killGroup(pgid, 'SIGKILL');
  return isClosed ? 0 : 1;
}

interface Surroundings {
  readonly host: Host;
  readonly redactor: Redactor;
  /** The process groups that run. */
  readonly groups: Set<number>;
}

async function startHere(start: NodeStart, surroundings: Surroundings, signal: AbortSignal): Promise<HostedWorker> {
  const startWorker = await loadTemporal(start.addon);
  const session = sessionFromWire(start.session);
  const host = hostOf(start, surroundings);
  return await startHostedWorker({ start: startWorker, session, host }, signal);
}

async function loadTemporal(addon: string): Promise<StartWorker> {
  setNativeAddon(addon);
  try {
    return (await import('../worker/run.ts')).startWorker;
  } catch (error) {
    throw addonUnloadable(`${messageOf(error)} (Node ${process.version})`, 'use a system with a newer C library');
  }
}

/** The binary's services as the worker knows them. */
function hostOf(start: NodeStart, { host, redactor, groups }: Surroundings): WorkerHost {
  const { session, directory, journalDirectory } = start;
  const guardian = {
    onStart: (pgid: number) => {
      groups.add(pgid);
      host.tell('groupStarted', pgid);
    },
    onEnd: (pgid: number) => {
      groups.delete(pgid);
      host.tell('groupEnded', pgid);
    },
  };
  return {
    controlPlane: {
      getAgent: (...values) => host.ask('getAgent', values),
      getTeam: (...values) => host.ask('getTeam', values),
      listAgents: (...values) => host.ask('listAgents', values),
      listSkills: (...values) => host.ask('listSkills', values),
      createExecution: (...values) => host.ask('createExecution', values),
      reportJobStatus: (...values) => host.ask('reportJobStatus', values),
      listResolvedSkills: (...values) => host.ask('listResolvedSkills', values),
      getResolvedEnvironment: (...values) => host.ask('getResolvedEnvironment', values),
      getExecution: (...values) => host.ask('getExecution', values),
      getModel: (...values) => host.ask('getModel', values),
      getSession: (...values) => host.ask('getSession', values),
      executeAgent: (...values) => host.ask('executeAgent', values),
      executeTeam: (...values) => host.ask('executeTeam', values),
      sendMessage: (...values) => host.ask('sendMessage', values),
      cancelExecution: (...values) => host.ask('cancelExecution', values),
      createApproval: (...values) => host.ask('createApproval', values),
      getApproval: (...values) => host.ask('getApproval', values),
      listKnownQueueWorkers: (...values) => host.ask('listKnownQueueWorkers', values),
      listPresentQueueWorkers: (...values) => host.ask('listPresentQueueWorkers', values),
    },
    sink: {
      publishEvents: (executionId, content, signal) => host.ask('publishEvents', { executionId, content }, { signal }),
      updateExecution: (executionId, content, signal) =>
        host.ask('updateExecution', { executionId, content }, { signal }),
      saveSession: (executionId, content, signal) => host.ask('saveSession', { executionId, content }, { signal }),
    },
    models: {
      // An answer comes also when the signal is aborted: a provider's end is a value.
      complete: (request, onPart, signal) => host.ask('complete', request, { signal, onPart }),
    },
    defaultModel: (signal) => host.ask('defaultModel', null, { signal }),
    checkModel: (model) => host.ask('checkModel', model),
    mcp: {
      // Their ends are values as well.
      discover: (question, signal) => host.ask('mcpDiscover', question, { signal }),
      call: (call, signal, onPart) => host.ask('mcpCall', call, { signal, onPart }),
      release: (executionId) => host.tell('mcpRelease', executionId),
    },
    spawner: markingSpawner(session.instanceId, directory, guardian),
    guardian,
    redactor,
    log: createRemoteLog(host, 'worker'),
    meter: { record: (fact) => host.tell('fact', fact) },
    journalDirectory,
    directory,
  };
}

/**
 * The record on disk is written here, in the turn of the start: what the binary is told may be lost with either process.
 */
function markingSpawner(instanceId: string, directory: string, guardian: WorkerHost['guardian']): Spawner {
  const record = createGroupRecord(directory, 'groups.node');
  const spawner = createSpawner({
    instanceId,
    onStart: (pgid) => {
      record.onStart(pgid);
      guardian.onStart(pgid);
    },
    onEnd: (pgid) => {
      guardian.onEnd(pgid);
      record.onEnd(pgid);
    },
  });
  const marker = { [nodeMarkerName]: String(process.pid) };
  return {
    instanceId,
    start: (options) => spawner.start({ ...options, environment: { ...options.environment, ...marker } }),
  };
}

function createRemoteLog(host: Host, component: string): Log {
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      const entry = { component, level, message };
      try {
        host.tell('log', entryToWire({ ...entry, fields }));
      } catch (error) {
        // A cycle, a BigInt, a getter that throws: the entry matters more than its fields.
        host.tell('log', entryToWire({ ...entry, fields: { fields_lost: messageOf(error) } }));
      }
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (name) => createRemoteLog(host, name),
  };
}

/** Temporal's first answer is a round trip away: with it the first snapshot is as good as every later one. */
async function firstLook(worker: HostedWorker): Promise<void> {
  for (let waitedMs = 0; worker.temporal().pollAgeMs === null && waitedMs < firstLookMsMax; waitedMs += firstLookPollMs)
    await sleep(firstLookPollMs);
}

function snapshotOf(worker: HostedWorker): NodeSnapshot {
  const { user, system } = process.cpuUsage();
  const stats = { ...worker.stats(), rssBytes: process.memoryUsage.rss(), cpuMicroseconds: user + system };
  return { slots: worker.slots(), temporal: worker.temporal(), work: worker.work(), stats };
}

const restless: ReadonlySet<string> = new Set(['pollAgeMs', 'idleMs', 'rssBytes', 'cpuMicroseconds']);

function tellSnapshots(worker: HostedWorker, host: Host): void {
  let said = '';
  let unsaid = 0;
  setInterval(() => {
    const snapshot = snapshotOf(worker);
    // What always changes is no news.
    const text = JSON.stringify(snapshot, (name, value: unknown) => (restless.has(name) ? undefined : value));
    unsaid += 1;
    if (text === said && unsaid < snapshotsUntilSaidAgain) return;
    said = text;
    unsaid = 0;
    host.tell('snapshot', snapshot);
  }, snapshotIntervalMs);
}
