// The MCP servers of a worker: started when they are needed, shared where their configuration is the same, ended when nobody is left.
import { createHash } from 'node:crypto';
import { messageOf } from '../../errors.ts';
import { backoffDelayMs } from '../../lib/backoff.ts';
import { failure, type ToolOutcome } from '../tool.ts';
import type { McpTool } from '../../protocol/mcp.ts';
import type { McpTarget } from './configuration.ts';
import { connect, type Connection, type ConnectionDeps, type McpOffer } from './connection.ts';
import { promptOutcome, resourceOutcome, toolOutcome } from './content.ts';

export interface McpCall extends Pick<McpTool, 'kind' | 'tool'> {
  readonly target: McpTarget;
  readonly executionId: string;
  readonly callId: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly timeoutMs: number;
  readonly workspace: string;
  readonly outputBytesMax: number;
}

/** What a server offers, or a sentence without its name. */
export type McpDiscovery =
  | { readonly ok: true; readonly offer: McpOffer }
  | { readonly ok: false; readonly problem: string };

/** Everything here is plain data, so that it can live in another process than the tools. */
export interface McpServers {
  /** Starts the server unless another one of its configuration was asked lately. Never rejects. */
  discover(
    question: { readonly target: McpTarget; readonly executionId: string },
    signal: AbortSignal,
  ): Promise<McpDiscovery>;
  /** Never rejects. When the signal is aborted the server is told and the call ends at once. */
  call(call: McpCall, signal: AbortSignal, onOutput: (text: string) => void): Promise<ToolOutcome>;
  /** The execution is over here: what only it used ends. */
  release(executionId: string): void;
  /** Ends every server with all its processes. */
  stop(): Promise<void>;
}

/** Without a call for so long a server is ended; its next call starts it again. */
const idleMsMax = 300_000;
/** What a server offered is believed for so long; it says itself when it changes. */
const offerAgeMsMax = 300_000;
/** Servers alive at once; each stdio server is a process of 50 MB. */
const serversMax = 64;
/** A server that ended sooner counts as one that does not start. */
const healthyMs = 10_000;
const restartBackoff = { firstMs: 1_000, mostMs: 60_000 };
const questionTimeoutMs = 60_000;

export interface McpServersOptions extends ConnectionDeps {
  /** For people who look at the log. */
  onEvent(message: string, fields: Readonly<Record<string, string>>): void;
}

export function createMcpServers(options: McpServersOptions): McpServers {
  const servers = new Map<string, Server>();
  /** Those that nobody uses any more, until their processes are gone. */
  const ending = new Set<Promise<void>>();
  const end = (server: Server): void => {
    const gone = server.stop().finally(() => ending.delete(gone));
    ending.add(gone);
  };
  const offers = new Map<string, { readonly offer: McpOffer; readonly atMs: number }>();

  const serverOf = (target: McpTarget, executionId: string): Server => {
    const key = keyOf(target);
    let server = servers.get(key);
    if (server === undefined) {
      makeRoom(servers, end);
      server = new Server(target, options);
      server.onToolsChanged = () => offers.delete(offerKeyOf(target));
      servers.set(key, server);
    }
    server.users.add(executionId);
    return server;
  };
  return {
    discover: async ({ target, executionId }, signal) => {
      const key = offerKeyOf(target);
      const known = offers.get(key);
      if (known !== undefined && performance.now() - known.atMs < offerAgeMsMax)
        return { ok: true, offer: known.offer };
      try {
        const request = { signal, timeoutMs: questionTimeoutMs };
        const offer = await serverOf(target, executionId).use(signal, (connection) => connection.offer(request));
        const nowMs = performance.now();
        for (const [old, { atMs }] of offers) if (nowMs - atMs >= offerAgeMsMax) offers.delete(old);
        offers.set(key, { offer, atMs: nowMs });
        return { ok: true, offer };
      } catch (error) {
        return { ok: false, problem: messageOf(error) };
      }
    },
    call: async (call, signal, onOutput) => {
      try {
        return await serverOf(call.target, call.executionId).use(signal, (connection) =>
          make(call, connection, signal, onOutput),
        );
      } catch (error) {
        return failure(`MCP server ${call.target.name}: ${messageOf(error)}`);
      }
    },
    release: (executionId) => {
      for (const [key, server] of servers) {
        server.users.delete(executionId);
        if (server.users.size > 0 || !isOfExecution(server.target)) continue;
        servers.delete(key);
        end(server);
      }
    },
    stop: async () => {
      for (const server of servers.values()) end(server);
      servers.clear();
      await Promise.all(ending);
    },
  };
}

async function make(
  call: McpCall,
  connection: Connection,
  signal: AbortSignal,
  onOutput: (text: string) => void,
): Promise<ToolOutcome> {
  const request = { signal, timeoutMs: call.timeoutMs, onProgress: onOutput };
  const { arguments: values } = call;
  switch (call.kind) {
    case 'tool':
      return toolOutcome(await connection.callTool(call.tool, { ...values }, request), call);
    case 'list_resources':
      return { status: 'success', output: await connection.listResources(request) };
    case 'read_resource':
      return resourceOutcome(await connection.readResource(String(values['uri']), request), call);
    case 'get_prompt': {
      const given = typeof values['arguments'] === 'object' ? Object.entries(values['arguments'] ?? {}) : [];
      const texts = Object.fromEntries(given.map(([name, value]) => [name, String(value)]));
      return promptOutcome(await connection.getPrompt(String(values['name']), texts, request), call);
    }
  }
}

/** A server of one configuration; between `stop` and its end nothing is started any more. */
class Server {
  readonly users = new Set<string>();
  onToolsChanged: (() => void) | undefined;
  private connecting: Promise<Connection> | undefined;
  private closing: Promise<void> = Promise.resolve();
  private readonly over = new AbortController();
  private idle: NodeJS.Timeout | undefined;
  private busy = 0;
  private usedAtMs = 0;
  private failures = 0;
  private retryAtMs = 0;
  private lastProblem = '';

  constructor(
    readonly target: McpTarget,
    private readonly options: McpServersOptions,
  ) {}

  get idleSinceMs(): number | undefined {
    return this.busy === 0 ? this.usedAtMs : undefined;
  }

  /** Rejects with a sentence when there is no connection, when it ends during the work, and as the work does. */
  async use<Result>(signal: AbortSignal, work: (connection: Connection) => Promise<Result>): Promise<Result> {
    clearTimeout(this.idle);
    this.busy += 1;
    try {
      const first = await this.attempt(signal, work);
      if (first !== 'stale') return first.result;
      const second = await this.attempt(signal, work);
      if (second !== 'stale') return second.result;
      throw new Error('it does not know the session that it has just begun');
    } finally {
      this.busy -= 1;
      this.usedAtMs = performance.now();
      this.rest();
    }
  }

  private async attempt<Result>(
    signal: AbortSignal,
    work: (connection: Connection) => Promise<Result>,
  ): Promise<{ readonly result: Result } | 'stale'> {
    const connecting = this.connection();
    const connection = await unlessAborted(connecting, signal);
    try {
      return { result: await work(connection) };
    } catch (error) {
      const state = signal.aborted ? 'usable' : connection.judge(error);
      if (state === 'usable') throw error;
      this.forget(connecting);
      await connection.close();
      if (state === 'stale') return state;
      // The library's own words for a lost connection do not say why.
      const words = connection.lastWords();
      throw new Error(
        `it ended during the call, and whether the call took effect is not known${words === '' ? ` (${messageOf(error)})` : words}`,
        { cause: error },
      );
    }
  }

  async stop(): Promise<void> {
    this.over.abort();
    clearTimeout(this.idle);
    await this.disconnect();
  }

  private rest(): void {
    if (this.busy > 0 || this.over.signal.aborted) return;
    clearTimeout(this.idle);
    this.idle = setTimeout(() => void this.disconnect(), idleMsMax);
    this.idle.unref();
  }

  /** Resolves when all connections that it had are closed. */
  private disconnect(): Promise<void> {
    const { connecting, closing } = this;
    this.connecting = undefined;
    this.closing = Promise.all([closing, closed(connecting)]).then(() => undefined);
    return this.closing;
  }

  private connection(): Promise<Connection> {
    if (this.connecting !== undefined) return this.connecting;
    if (this.over.signal.aborted) return Promise.reject(new Error('the worker is stopping'));
    const waitMs = this.retryAtMs - performance.now();
    if (waitMs > 0) {
      const seconds = Math.ceil(waitMs / 1000);
      return Promise.reject(new Error(`${this.lastProblem}; it is tried again in ${seconds} s`));
    }
    const connecting = this.start();
    this.connecting = connecting;
    connecting.catch(() => this.forget(connecting)); // whoever waits for it hears why
    return connecting;
  }

  private async start(): Promise<Connection> {
    const { target, options } = this;
    const startedAtMs = performance.now();
    let connection: Connection;
    try {
      connection = await connect(target, options, this.over.signal);
    } catch (error) {
      this.failed(messageOf(error));
      throw error;
    }
    if (this.over.signal.aborted) {
      await connection.close();
      throw new Error('the worker is stopping');
    }
    options.onEvent('MCP server connected', { server: target.name, transport: target.transport });
    connection.onToolsChanged = () => this.onToolsChanged?.();
    const own = this.connecting;
    void connection.ended.then(() => {
      const isWanted = this.connecting !== undefined && this.connecting === own && !this.over.signal.aborted;
      if (!isWanted) return;
      this.forget(own);
      options.onEvent('MCP server ended', { server: target.name, words: connection.lastWords() });
      if (performance.now() - startedAtMs < healthyMs)
        this.failed(`it ended soon after its start${connection.lastWords()}`);
      else this.failures = 0;
    });
    return connection;
  }

  private failed(problem: string): void {
    this.lastProblem = problem;
    this.failures += 1;
    this.retryAtMs = performance.now() + backoffDelayMs(this.failures, restartBackoff);
    this.options.onEvent('MCP server failed', { server: this.target.name, reason: problem });
  }

  private forget(connecting: Promise<Connection> | undefined): void {
    if (this.connecting === connecting) this.connecting = undefined;
  }
}

async function closed(connecting: Promise<Connection> | undefined): Promise<void> {
  try {
    await (await connecting)?.close();
  } catch {
    // It never was connected, or its end could not be said to the server.
  }
}

function makeRoom(servers: Map<string, Server>, end: (server: Server) => void): void {
  if (servers.size < serversMax) return;
  const idle = [...servers]
    .filter(([, server]) => server.idleSinceMs !== undefined)
    .toSorted(([, a], [, b]) => (a.idleSinceMs ?? 0) - (b.idleSinceMs ?? 0));
  const [oldest] = idle;
  if (oldest === undefined) throw new Error(`the worker runs ${serversMax} MCP servers already, and all are busy`);
  servers.delete(oldest[0]);
  end(oldest[1]);
}

const isOfExecution = (target: McpTarget): boolean => target.transport === 'stdio' && target.isOfExecution;

function keyOf(target: McpTarget): string {
  return createHash('sha256').update(JSON.stringify(target)).digest('hex');
}

/** The directory changes nothing about what a server offers. */
function offerKeyOf(target: McpTarget): string {
  return keyOf(target.transport === 'stdio' ? { ...target, cwd: '' } : target);
}

function unlessAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(new Error('the call was stopped before the server was ready'));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
