// `kubiya server start` as a process of its own, with its Temporal server, and the calls of its API that tests make.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BinaryOptions, type RunningBinary, startBinary } from './binary.ts';
import { until } from './until.ts';

export interface ExecutionView {
  readonly id: string;
  readonly status: string;
  readonly response?: string | null;
  readonly error_message?: string | null;
  readonly is_stuck?: boolean | null;
}

export interface EventView {
  readonly event_id: string;
  readonly event_type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface LocalServer {
  readonly url: string;
  readonly token: string;
  /** `host:port` of the dev server. */
  readonly temporalAddress: string;
  readonly process: RunningBinary;
  /** Pid of the dev server that runs now; throws when there is none. */
  temporalPid(): number;
  request(method: string, path: string, body?: unknown): Promise<unknown>;
  /** Starts an execution of the agent `default` and gives its id. */
  execute(prompt: string, queue: string): Promise<string>;
  execution(id: string): Promise<ExecutionView>;
  events(id: string): Promise<readonly EventView[]>;
  /** The execution once it has ended. */
  ended(id: string, limitMs: number): Promise<ExecutionView>;
  stop(): Promise<void>;
}

const terminalStatuses: ReadonlySet<string> = new Set([
  'completed',
  'failed',
  'cancelled',
  'interrupted',
  'terminated',
]);

export interface LocalServerOptions extends BinaryOptions {
  /** Default: one of a range. */
  readonly port?: number;
  /** Added to `server start`. */
  readonly words?: readonly string[];
}

export async function startLocalServer(options: LocalServerOptions): Promise<LocalServer> {
  const port = options.port ?? randomPort();
  const running = startBinary(['server', 'start', '--port', String(port), ...(options.words ?? [])], {
    ...options,
    environment: { LOG_FORMAT: 'json', ...options.environment },
  });
  const [line] = await running.waitFor(/^.*"msg":"Ready".*$/m);
  const { url, temporal } = JSON.parse(line) as { url: string; temporal: string };
  const token = readFileSync(join(options.home.kubiyaHome, 'local/token'), 'utf8').trim();
  const request = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  };
  const execution = async (id: string): Promise<ExecutionView> =>
    (await request('GET', `/api/v1/executions/${id}`)) as ExecutionView;
  return {
    url,
    token,
    temporalAddress: temporal,
    process: running,
    temporalPid: () => pidListeningOn(running.pid, temporal),
    request,
    execute: async (prompt, queue) => {
      const answer = await request('POST', '/api/v1/agents/default/execute', { prompt, worker_queue_id: queue });
      return (answer as { execution_id: string }).execution_id;
    },
    execution,
    events: async (id) => {
      const all: EventView[] = [];
      for (let page: (EventView & { sequence: number })[] | undefined; page === undefined || page.length > 0;) {
        const after = page?.at(-1)?.sequence ?? 0;
        page = (await request('GET', `/api/v1/executions/${id}/events?after=${after}&limit=1000`)) as typeof page;
        all.push(...(page ?? []));
      }
      return all;
    },
    ended: async (id, limitMs) => {
      let last = await execution(id);
      const isOver = async (): Promise<boolean> => terminalStatuses.has((last = await execution(id)).status);
      await until(isOver, { limitMs, intervalMs: 100, what: () => `execution ${id} has ended, it is ${last.status}` });
      return last;
    },
    stop: async () => void (await running.end('SIGTERM')),
  };
}

/** Below the range that the system hands out by itself; a taken port is an error that says so. */
function randomPort(): number {
  return 20_000 + Math.floor(Math.random() * 10_000);
}

/** The dev server is a child of the server's process and has its port among its arguments. */
function pidListeningOn(parent: number, address: string): number {
  const port = address.slice(address.lastIndexOf(':') + 1);
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const parentPid = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      if (parentPid === parent && words.includes('start-dev') && words.includes(port)) return Number(name);
    } catch {
      // Gone between the look at the directory and at the process.
    }
  }
  throw new Error(`no Temporal server of ${parent} runs on port ${port}`);
}
