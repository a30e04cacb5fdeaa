// The Temporal side in a Node process: starts it, serves what it asks, and stands in for its worker in this process.
import { KubiyaError } from '../errors.ts';
import { sleep } from '../lib/backoff.ts';
import { createLineSplitter } from '../lib/lines.ts';
import { sweepByMarker } from '../lib/process-tree.ts';
import type { ChildExit, ChildHandle } from '../lib/spawn.ts';
import { killRecordedGroups } from '../supervisor/instance.ts';
import type { Log } from '../telemetry/log.ts';
import type { Session } from '../worker/deps.ts';
import { type Channel, ChannelClosedError, type Handlers, openChannel } from './channel.ts';
import type { NodeProgram } from './find-node.ts';
import {
  fieldsFromWire,
  type HostVocabulary,
  nodeMarkerName,
  type NodeSnapshot,
  type NodeVocabulary,
  sessionToWire,
  temporalToWire,
} from './node-protocol.ts';
import { fromWire } from './wire-error.ts';
import type { HostedWorker, TemporalEngine, WorkerHost } from './worker-deps.ts';

export interface NodeEngineOptions {
  readonly node: NodeProgram;
  /** Absolute paths of the bundle that Node runs and of the SDK's native addon. */
  readonly bundle: string;
  readonly addon: string;
  /** Why it is Node, when nobody asked for it. */
  readonly reason?: string | undefined;
}

export function createNodeEngine({ node, bundle, addon, reason }: NodeEngineOptions): TemporalEngine {
  return {
    startWorker: async (session, host, signal) => {
      const { log, journalDirectory, directory } = host;
      if (reason !== undefined) log.warn(`The Temporal worker runs in Node, because ${reason}`);
      log.info('Starting Node for the Temporal worker', { node: node.path, version: node.version });
      const child = await NodeProcess.start([node.path, bundle], session, host);
      try {
        await child.greet(node);
        const start = { session: sessionToWire(session), addon, journalDirectory, directory };
        child.hear(await child.channel.ask('start', start, { signal }));
      } catch (error) {
        await child.end();
        throw error instanceof ChannelClosedError ? vanished(await child.gone) : error;
      }
      child.watch();
      return standIn(child);
    },
  };
}

/** Our program is loaded in 300 ms; a machine in trouble takes longer, a `node` that is none never answers. */
const greetingMsMax = 30_000;
/** A process that was told goodbye has nothing left to do. */
const exitLimitMs = 2_000;
/** It speaks every two seconds. Silent for so many looks it hangs, and only its end helps its executions. */
const silentLooksMax = 6;
const lookIntervalMs = 5_000;
/** Of a line on its stderr: the end of a stack, or what a native part says before it dies. */
const strayLineLengthMax = 4_000;

/** Lives from the start of the process until it is gone. */
class NodeProcess {
  readonly channel: Channel<NodeVocabulary>;
  /** Resolves when it is gone and what it had started is gone as well. */
  readonly gone: Promise<ChildExit>;
  /** Resolves when the Temporal worker has ended, rejects when it did so by a fault or with its process. */
  readonly ended: Promise<void>;
  private readonly groups = new Set<number>();
  private readonly over = new AbortController();
  private heard: { readonly snapshot: NodeSnapshot; readonly atMs: number } | undefined;
  private silentLooks = 0;

  static async start(command: readonly string[], session: Session, host: WorkerHost): Promise<NodeProcess> {
    const child = await host.spawner.start({
      command,
      cwd: host.directory,
      environment: session.toolEnvironment,
      stdout: 'pipe',
      stderr: 'pipe',
      hasChannel: true,
    });
    return new NodeProcess(child, session.instanceId, host);
  }

  private constructor(
    private readonly child: ChildHandle,
    private readonly instanceId: string,
    private readonly host: WorkerHost,
  ) {
    if (child.channel === null) throw new Error('a process for Temporal needs a channel');
    let settle: (error: Error | undefined) => void = () => undefined;
    this.ended = new Promise((resolve, reject) => {
      settle = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.ended.catch(() => undefined); // the owner of the worker decides; until then it is no unhandled rejection
    this.channel = openChannel<HostVocabulary, NodeVocabulary>(child.channel, {
      ...servicesOf(host),
      groupStarted: (pgid) => {
        this.groups.add(pgid);
        host.guardian.onStart(pgid);
      },
      groupEnded: (pgid) => {
        this.groups.delete(pgid);
        host.guardian.onEnd(pgid);
      },
      snapshot: (snapshot) => this.hear(snapshot),
      ended: (error) => settle(error === null ? undefined : fromWire(error)),
    });
    const stopFollowing = host.redactor.follow((secret) => this.channel.tell('secret', secret));
    for (const stream of [child.stdout, child.stderr]) logLines(stream, host.log.child('node'));
    this.gone = child.exited.then((exit) => {
      stopFollowing();
      this.over.abort();
      this.clearUp();
      settle(vanished(exit));
      return exit;
    });
  }

  async greet({ path, version }: NodeProgram): Promise<void> {
    const isLate = sleep(greetingMsMax, this.over.signal).then(
      () => true,
      () => false,
    );
    const answer = this.channel.ask('greet', null);
    answer.catch(() => undefined); // it is also awaited, or too late
    const wasLate = await Promise.race([answer.then(() => false), isLate]);
    if (!wasLate) return void (await answer);
    throw new KubiyaError(`${path} (${version}) has not started within ${greetingMsMax / 1000} s`, {
      kind: 'configuration',
      code: 'node_silent',
      hint: 'check what this `node` is, or use `--runtime bun`',
    });
  }

  hear(snapshot: NodeSnapshot): void {
    this.heard = { snapshot, atMs: performance.now() };
    this.silentLooks = 0;
  }

  /** What it said of itself last, and how long ago. */
  latest(): { readonly snapshot: NodeSnapshot; readonly ageMs: number } {
    if (this.heard === undefined) throw new Error('the Node process has not started its worker');
    return { snapshot: this.heard.snapshot, ageMs: performance.now() - this.heard.atMs };
  }

  /** From the start of its worker on it must be heard of. Looks are counted, not time: we may have been stopped ourselves. */
  watch(): void {
    const timer = setInterval(() => {
      this.silentLooks += 1;
      if (this.silentLooks !== silentLooksMax) return;
      this.host.log.error('The Node process does not answer any more and is killed', { pid: this.child.pid });
      this.child.signalGroup('SIGKILL');
    }, lookIntervalMs);
    this.over.signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  /** Says goodbye, and then means it. */
  async end(): Promise<void> {
    this.channel.close();
    await Promise.race([this.gone, sleep(exitLimitMs, this.over.signal).catch(() => undefined)]);
    this.child.signalGroup('SIGKILL');
    await this.gone;
  }

  /** The guardian does this for us; for a process of ours that vanishes while we live, we do. */
  private clearUp(): void {
    killRecordedGroups(this.host.directory, 'groups.node');
    sweepByMarker(this.instanceId, [`${nodeMarkerName}=${this.child.pid}`]);
    for (const pgid of this.groups) this.host.guardian.onEnd(pgid);
  }
}

type Services = Omit<Handlers<HostVocabulary>, 'groupStarted' | 'groupEnded' | 'snapshot' | 'ended'>;

function servicesOf({
  controlPlane,
  sink,
  models,
  defaultModel,
  checkModel,
  mcp,
  meter,
  redactor,
  log,
}: WorkerHost): Services {
  const logs = new Map<string, Log>();
  const logOf = (component: string): Log => {
    const known = logs.get(component) ?? log.child(component);
    logs.set(component, known);
    return known;
  };
  return {
    getAgent: (values) => controlPlane.getAgent(...values),
    getTeam: (values) => controlPlane.getTeam(...values),
    listAgents: (values) => controlPlane.listAgents(...values),
    listSkills: (values) => controlPlane.listSkills(...values),
    createExecution: (values) => controlPlane.createExecution(...values),
    reportJobStatus: (values) => controlPlane.reportJobStatus(...values),
    listResolvedSkills: (values) => controlPlane.listResolvedSkills(...values),
    getResolvedEnvironment: (values) => controlPlane.getResolvedEnvironment(...values),
    getExecution: (values) => controlPlane.getExecution(...values),
    getModel: (values) => controlPlane.getModel(...values),
    getSession: (values) => controlPlane.getSession(...values),
    executeAgent: (values) => controlPlane.executeAgent(...values),
    executeTeam: (values) => controlPlane.executeTeam(...values),
    sendMessage: (values) => controlPlane.sendMessage(...values),
    cancelExecution: (values) => controlPlane.cancelExecution(...values),
    createApproval: (values) => controlPlane.createApproval(...values),
    getApproval: (values) => controlPlane.getApproval(...values),
    listKnownQueueWorkers: (values) => controlPlane.listKnownQueueWorkers(...values),
    listPresentQueueWorkers: (values) => controlPlane.listPresentQueueWorkers(...values),
    publishEvents: ({ executionId, content }, { signal }) => sink.publishEvents(executionId, content, signal),
    updateExecution: ({ executionId, content }, { signal }) => sink.updateExecution(executionId, content, signal),
    saveSession: ({ executionId, content }, { signal }) => sink.saveSession(executionId, content, signal),
    complete: (request, { signal, onPart }) => models.complete(request, onPart, signal),
    defaultModel: (_, { signal }) => defaultModel(signal),
    checkModel: (model) => checkModel(model),
    mcpDiscover: (question, { signal }) => mcp.discover(question, signal),
    mcpCall: (call, { signal, onPart }) => mcp.call(call, signal, onPart),
    mcpRelease: (executionId) => mcp.release(executionId),
    log: (entry) => logOf(entry.component)[entry.level](entry.message, fieldsFromWire(entry)),
    fact: (fact) => meter.record(fact),
    secret: (secret) => redactor.register(secret),
  };
}

/** The worker in the other process as everybody here knows one. */
function standIn(child: NodeProcess): HostedWorker {
  const { channel } = child;
  const latest = (): NodeSnapshot => child.latest().snapshot;
  return {
    ended: child.ended,
    drain: (limitMs) => orGone(channel.ask('drain', limitMs), () => ({ finished: 0, stopped: latest().slots.used })),
    cancel: () => channel.tell('cancel', null),
    slots: () => latest().slots,
    temporal: () => {
      const { snapshot, ageMs } = child.latest();
      const { pollAgeMs } = snapshot.temporal;
      return { ...snapshot.temporal, pollAgeMs: pollAgeMs === null ? null : pollAgeMs + ageMs };
    },
    work: () => {
      const { snapshot, ageMs } = child.latest();
      const { live, open, idleMs } = snapshot.work;
      return { ...snapshot.work, idleMs: live.length + open.length === 0 ? idleMs + ageMs : 0 };
    },
    stats: () => latest().stats,
    settle: (executionId, end) => channel.tell('settle', { executionId, end }),
    renew: (temporal) => channel.ask('renew', temporalToWire(temporal)),
    wake: () => channel.tell('wake', null),
    close: async (publishLimitMs) => {
      await orGone(channel.ask('close', publishLimitMs), () => undefined);
      await child.end();
    },
  };
}

/** Of a process that is gone nothing is asked any more. */
async function orGone<Result>(answer: Promise<Result>, otherwise: () => Result): Promise<Result> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ChannelClosedError) return otherwise();
    throw error;
  }
}

function vanished({ code, signal }: ChildExit): KubiyaError {
  const how = signal === null ? `exit code ${code ?? 'unknown'}` : signal;
  return new KubiyaError(`the Node process that runs the Temporal worker has ended (${how})`, {
    kind: 'configuration',
    code: 'node_process_ended',
    hint: 'what it said before is in the log; `--runtime bun` does without Node',
    isRetryable: true,
  });
}

/** It logs over the channel; what comes this way is a warning of Node's, or the last words of something that crashes. */
function logLines(stream: ChildHandle['stderr'], log: Log): void {
  const splitter = createLineSplitter({ lineLengthMax: strayLineLengthMax, onLine: (line) => log.error(line) });
  stream?.on('data', (chunk: Uint8Array) => splitter.push(chunk));
  stream?.on('end', () => splitter.flush());
}
