// Runs Temporal's dev server as our child: free port, readiness, restart on the same port when it dies.
import { connect, createServer } from 'node:net';
import type { Readable } from 'node:stream';
import { KubiyaError, messageOf } from '../errors.ts';
import { backoffDelayMs, sleep } from '../lib/backoff.ts';
import { isListeningOn } from '../lib/listener.ts';
import { StartError, type ChildHandle, type Spawner } from '../lib/spawn.ts';
import type { Log } from '../telemetry/log.ts';

export interface DevServerOptions {
  /** Path of the `temporal` program. */
  readonly executable: string;
  /** Preferred port; a taken one is replaced by a free one unless `isPortExplicit`. 0 takes any. */
  readonly port: number;
  readonly isPortExplicit?: boolean | undefined;
  /** Address to bind; default 127.0.0.1. There is no authentication: whoever reaches it may do everything. */
  readonly host?: string | undefined;
  /** Absent: everything is in memory and lost at the end. */
  readonly databaseFile?: string | undefined;
  /** Working directory of the child. */
  readonly directory: string;
  readonly spawner: Spawner;
  readonly log: Log;
  /** Environment of the child, without secrets. */
  readonly environment: Readonly<Record<string, string>>;
  /** Called once the port accepts connections, until it resolves (`probeTemporal`). */
  readonly probe: (address: string) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

export interface DevServer {
  /** `host:port`, the same for the whole life. */
  readonly address: string;
  /** Resolves when it is down for good: after `stop()`, or with the reason why it could not be kept alive. */
  readonly exited: Promise<{ readonly reason: string | null }>;
  /** A file database is closed (SIGTERM), an in-memory one is killed. May be called again. */
  stop(): Promise<void>;
}

/** Someone else can take a port between our look and the server's bind; three in a row means something else is wrong. */
const portAttemptsMax = 3;
/** Cold and on a loaded machine it took 2 s; a first start from a slow disk reads 156 MB. */
const readyTimeoutMs = 30_000;
/** Probed with TCP, because a gRPC dial before the port is open backs off for a second. */
const tcpProbeIntervalMs = 5;
const namespaceProbeIntervalMs = 20;
/** SIGTERM took 1.1–3.3 s. */
const stopGraceMs = 8_000;
const stderrBytesMax = 8 * 1024;
/** Executions wait meanwhile, so it is tried about once a second. */
const restartBackoff = { firstMs: 200, mostMs: 2_000 };
/** A port or a disk that somebody needed for a moment is free again by then; after that only a person helps. */
const restartLimitMs = 60_000;

/** The default values brake every hop to 50 ms and every continue-as-new to 1 s. */
const dynamicConfiguration: readonly string[] = [
  'history.transferProcessorMaxPollRPS=2000',
  'history.timerProcessorMaxPollRPS=2000',
  'history.visibilityProcessorMaxPollRPS=2000',
  // Timers come up to so much late. Each call leaves some that end for nothing, and at 1 ms every one is fetched by itself.
  'history.timerProcessorMaxTimeShift="50ms"',
  'history.workflowIdReuseMinimalInterval="0s"',
  // An activity comes back with the answer to the workflow task that asked for it: no second trip through the queue.
  'system.enableActivityEagerExecution=true',
  // Four partitions of a queue that one worker polls only forward to each other.
  'matching.numTaskqueueReadPartitions=1',
  'matching.numTaskqueueWritePartitions=1',
];

/** 300 starts one after the other: 6.8 ms each (p50) instead of 11.9. WAL survives kill -9 with either `synchronous`. */
const databasePragmas = ['journal_mode=wal', 'synchronous=normal'].flatMap((pragma) => ['--sqlite-pragma', pragma]);

/** Resolves when the server answers. Throws a KubiyaError with the end of its stderr when it does not come up. */
export async function startDevServer(options: DevServerOptions): Promise<DevServer> {
  const host = options.host ?? '127.0.0.1';
  for (let attempt = 1; ; attempt += 1) {
    const port = await choosePort(options, host, attempt);
    const run = await launch(options, host, port);
    const failure = await ready(run, options);
    if (failure === null) return supervise(run, options);
    await stopRun(run, options);
    options.signal?.throwIfAborted();
    // The port was free when it was chosen, so whoever holds it now came between.
    const wasPortLost = !(await isPortFree(host, port));
    if (wasPortLost && options.isPortExplicit !== true && attempt < portAttemptsMax) continue;
    throw startFailure(wasPortLost ? `port ${port} is taken` : failure);
  }
}

interface Run {
  readonly child: ChildHandle;
  readonly host: string;
  readonly port: number;
  readonly address: string;
  readonly stderrTail: () => string;
}

async function choosePort(options: DevServerOptions, host: string, attempt: number): Promise<number> {
  if (options.port === 0 || attempt > 1) return freePort(host);
  if (await isPortFree(host, options.port)) return options.port;
  if (options.isPortExplicit !== true) return freePort(host);
  throw new KubiyaError(`Port ${options.port} for Temporal is taken`, {
    kind: 'configuration',
    code: 'port_taken',
    hint: 'choose another port, or none to take the next free one',
  });
}

async function launch(options: DevServerOptions, host: string, port: number): Promise<Run> {
  const { databaseFile } = options;
  const flags = ['--headless', '--log-level', 'never', '--ip', host, '--port', String(port)];
  const configuration = dynamicConfiguration.flatMap((value) => ['--dynamic-config-value', value]);
  const storage = databaseFile === undefined ? [] : ['--db-filename', databaseFile, ...databasePragmas];
  const command = [options.executable, 'server', 'start-dev', ...flags, ...configuration, ...storage];
  try {
    const child = await options.spawner.start({
      command,
      cwd: options.directory,
      environment: options.environment,
      stderr: 'pipe',
    });
    const isWildcard = host === '0.0.0.0' || host === '::';
    const address = `${isWildcard ? '127.0.0.1' : host}:${port}`;
    return { child, host, port, address, stderrTail: tailOf(child.stderr) };
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    throw startFailure(messageOf(error), error);
  }
}

/** Null when the server answers, else why it does not. */
async function ready(run: Run, options: DevServerOptions): Promise<string | null> {
  const waiting = new AbortController();
  const signals = [waiting.signal, AbortSignal.timeout(readyTimeoutMs)];
  const signal = AbortSignal.any(options.signal === undefined ? signals : [...signals, options.signal]);
  const ended = run.child.exited.then(({ code, signal: name }) => {
    return `it ended with ${name ?? `exit code ${code ?? 'unknown'}`}${quoted(run.stderrTail())}`;
  });
  try {
    return await Promise.race([answers(run, options, signal), ended]);
  } finally {
    waiting.abort();
  }
}

async function answers(run: Run, options: DevServerOptions, signal: AbortSignal): Promise<string | null> {
  let lastError = 'its port did not open';
  try {
    while (!(await accepts(run.address))) await sleep(tcpProbeIntervalMs, signal);
    for (;;) {
      try {
        await options.probe(run.address);
        // Whoever was faster may be a dev server as well: its executions are not ours.
        if (isListeningOn(run.child.pid, run.port) !== false) return null;
        lastError = `another program answers on port ${run.port}`;
      } catch (error) {
        lastError = messageOf(error);
      }
      await sleep(namespaceProbeIntervalMs, signal);
    }
  } catch {
    return `it was not ready: ${lastError}${quoted(run.stderrTail())}`;
  }
}

function supervise(first: Run, options: DevServerOptions): DevServer {
  let current = first;
  const stopping = new AbortController();
  const watch = async (): Promise<string | null> => {
    for (;;) {
      await current.child.exited;
      if (stopping.signal.aborted) return null;
      options.log.warn('The Temporal dev server ended and is started again', {
        stderr: current.stderrTail() || undefined,
      });
      const failure = await restart();
      if (failure !== null || stopping.signal.aborted) return failure;
    }
  };
  const restart = async (): Promise<string | null> => {
    let failure = '';
    const limit = performance.now() + restartLimitMs;
    for (let attempt = 1; performance.now() < limit && !stopping.signal.aborted; attempt += 1) {
      try {
        current = await launch(options, first.host, first.port);
        if (stopping.signal.aborted) break;
        const notReady = await ready(current, { ...options, signal: stopping.signal });
        if (notReady === null) {
          options.log.info('The Temporal dev server is back', { address: first.address });
          return null;
        }
        failure = notReady;
        await stopRun(current, options);
      } catch (error) {
        failure = messageOf(error);
      }
      await sleep(backoffDelayMs(attempt, restartBackoff), stopping.signal).catch(() => undefined);
    }
    if (stopping.signal.aborted) return null;
    options.log.error('The Temporal dev server cannot be started again', { reason: failure });
    return failure;
  };
  const exited = watch().then((reason) => ({ reason }));
  return {
    address: first.address,
    exited,
    stop: async () => {
      stopping.abort();
      await stopRun(current, options);
      await exited;
      // A restart that was under way may have launched another child in between.
      await stopRun(current, options);
    },
  };
}

async function stopRun({ child }: Run, options: DevServerOptions): Promise<void> {
  if (options.databaseFile === undefined) child.signalGroup('SIGKILL');
  await child.stop({ graceMs: stopGraceMs });
}

function startFailure(reason: string, cause?: unknown): KubiyaError {
  return new KubiyaError(`The Temporal dev server did not start: ${reason}`, {
    kind: 'configuration',
    code: 'temporal_dev_server_failed',
    hint: 'free the port or the disk it names, or use your own Temporal with --temporal-address',
    cause,
  });
}

function tailOf(stream: Readable | null): () => string {
  let tail = Buffer.alloc(0);
  stream?.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-stderrBytesMax);
  });
  return () => tail.toString('utf8').trim();
}

function quoted(text: string): string {
  return text === '' ? '' : `: ${text}`;
}

function accepts(address: string): Promise<boolean> {
  const separator = address.lastIndexOf(':');
  return new Promise((resolve) => {
    const socket = connect({ host: address.slice(0, separator), port: Number(address.slice(separator + 1)) });
    const end = (isOpen: boolean): void => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once('connect', () => end(true)).once('error', () => end(false));
  });
}

/** A port that nobody listens on right now; someone may take it before it is used. */
export function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen({ host, port: 0 }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

export function isPortFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(false));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
