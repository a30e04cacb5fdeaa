// A home of its own with the processes of a benchmark: model server, control plane and worker, all ended by their pid.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../../generate.ts';

/** Another build can be measured in its place. */
export const builtBinary = process.env['KUBIYA_BENCH_BINARY'] ?? join(root, 'dist/kubiya');

/** Milliseconds since the epoch, comparable with those of the model server. */
export const now = (): number => performance.timeOrigin + performance.now();

export interface Running {
  readonly pid: number;
  /** From the start of the process until it said that it is ready. */
  readonly readyMs: number;
  /** SIGTERM, and SIGKILL when that is not enough. */
  stop(): Promise<void>;
  kill(): Promise<void>;
}

export interface ModelServer extends Running {
  readonly port: number;
  /** When it was asked since the last look. */
  asked(): Promise<{ readonly asked: readonly number[]; readonly firstChunkAt: number }>;
}

export interface Server extends Running {
  readonly url: string;
  readonly token: string;
  /** `host:port`. */
  readonly temporalAddress: string;
}

export interface Lab extends AsyncDisposable {
  readonly binary: string;
  /** KUBIYA_HOME. */
  readonly home: string;
  /** For every process of the lab: nothing of the caller's but PATH. */
  readonly environment: Readonly<Record<string, string>>;
  startModel(): Promise<ModelServer>;
  /** Processes that are started from now on find their model there. */
  setModel(port: number | undefined): void;
  startServer(): Promise<Server>;
  startWorker(queue: string): Promise<Running>;
  /** Any other process; `isReady` looks at its output so far. */
  start(
    command: readonly string[],
    isReady: (output: string) => boolean,
  ): Promise<Running & { readonly output: string }>;
}

const readyLimitMs = 30_000;
const stopLimitMs = 15_000;
const pollMs = 2;

export function createLab(binary = builtBinary): Lab {
  if (!existsSync(binary)) throw new Error(`there is no ${binary}: bun run build`);
  const home = mkdtempSync(join(tmpdir(), 'kubiya-bench-'));
  const environment: Record<string, string> = { PATH: process.env['PATH'] ?? '', HOME: home, KUBIYA_HOME: home };
  const running: Running[] = [];
  const start: Lab['start'] = async (command, isReady) => {
    const process = await launch(command, { cwd: home, environment }, isReady);
    running.push(process);
    return process;
  };
  const setModel = (port: number | undefined): void => {
    environment['OPENAI_BASE_URL'] = `http://127.0.0.1:${port}/v1`;
    environment['OPENAI_API_KEY'] = 'bench';
  };
  return {
    binary,
    home,
    environment,
    start,
    setModel,
    startModel: async () => {
      const process = await start(
        [globalThis.process.execPath, 'run', join(import.meta.dir, 'model-server.ts')],
        (output) => output.endsWith('\n'),
      );
      const port = Number(process.output);
      setModel(port);
      const asked = async () =>
        (await fetch(`http://127.0.0.1:${port}/asked`)).json() as ReturnType<ModelServer['asked']>;
      return { ...process, port, asked };
    },
    startServer: async () => {
      const port = await freePort();
      const process = await start([binary, 'server', 'start', '--port', String(port)], (output) =>
        output.includes('Ready'),
      );
      const token = readFileSync(join(home, 'local/token'), 'utf8').trim();
      const temporalAddress = /temporal=(\S+)/.exec(process.output)?.[1] ?? '';
      return { ...process, url: `http://127.0.0.1:${port}`, token, temporalAddress };
    },
    startWorker: (queue) =>
      start([binary, 'worker', 'start', '--queue-id', queue], (output) => output.includes(': Ready ')),
    [Symbol.asyncDispose]: async () => {
      for (const process of running.toReversed()) await process.stop();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

interface LaunchOptions {
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string>>;
}

async function launch(command: readonly string[], options: LaunchOptions, isReady: (output: string) => boolean) {
  const startedAt = performance.now();
  const child = Bun.spawn([...command], {
    cwd: options.cwd,
    env: options.environment,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  let output = '';
  let readyMs = Number.NaN;
  const ready = Promise.withResolvers<void>();
  const read = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      output += decoder.decode(bytes, { stream: true });
      if (!Number.isNaN(readyMs) || !isReady(output)) continue;
      readyMs = performance.now() - startedAt;
      ready.resolve();
    }
  };
  void read(child.stdout);
  void read(child.stderr);
  const ended = child.exited.then((code) =>
    Promise.reject(new Error(`${command.join(' ')} ended with ${code}:\n${output}`)),
  );
  ended.catch(() => undefined);
  const timedOut = Bun.sleep(readyLimitMs).then(() =>
    Promise.reject(new Error(`${command.join(' ')} is not ready:\n${output}`)),
  );
  timedOut.catch(() => undefined);
  try {
    await Promise.race([ready.promise, ended, timedOut]);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await Promise.race([child.exited, Bun.sleep(stopLimitMs)]);
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await child.exited;
  };
  return { pid: child.pid, readyMs, output, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') };
}

/** Looks again and again, without a pause that would be seen in a result. */
export async function until(isTrue: () => boolean, limitMs: number): Promise<void> {
  for (const deadline = performance.now() + limitMs; performance.now() < deadline; await Bun.sleep(pollMs)) {
    if (isTrue()) return;
  }
  throw new Error(`it did not happen within ${limitMs} ms`);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
