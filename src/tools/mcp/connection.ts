// One live connection to a server: the handshake, what it offers, and its requests. The library is loaded here, lazily.
import type * as Library from '@modelcontextprotocol/client';
import type {
  CallToolResult,
  Client,
  GetPromptResult,
  JsonSchemaValidator,
  Progress,
  ReadResourceResult,
  Tool as ServerTool,
} from '@modelcontextprotocol/client';
import { messageOf } from '../../errors.ts';
import { sleep } from '../../lib/backoff.ts';
import type { Fetch } from '../../lib/network.ts';
import { type Spawner, StartError } from '../../lib/spawn.ts';
import { version } from '../../version.ts';
import type { McpTarget } from './configuration.ts';
import { createWebTransport, type WebTarget } from './http.ts';
import { createOAuthProvider, type OAuthSession } from './oauth.ts';
import { StdioTransport } from './stdio.ts';

export interface ConnectionDeps {
  readonly spawner: Spawner;
  readonly fetch: Fetch;
}

export interface McpPrompt {
  readonly name: string;
  readonly description: string;
  readonly arguments: readonly { readonly name: string; readonly isRequired: boolean }[];
}

/** What a server has, as far as an agent can use it. Plain data. */
export interface McpOffer {
  readonly tools: readonly {
    readonly name: string;
    readonly description: string;
    readonly inputSchema: Readonly<Record<string, unknown>>;
    readonly isReadOnly: boolean;
    readonly isIdempotent: boolean;
  }[];
  readonly prompts: readonly McpPrompt[];
  readonly hasResources: boolean;
}

export interface RequestOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly onProgress?: (text: string) => void;
}

/** `broken`: no further request goes over it. `stale`: the same, and the request was refused before it did anything. */
export type ConnectionState = 'usable' | 'broken' | 'stale';

export interface Connection {
  offer(options: RequestOptions): Promise<McpOffer>;
  callTool(name: string, values: Record<string, unknown>, options: RequestOptions): Promise<CallToolResult>;
  listResources(options: RequestOptions): Promise<string>;
  readResource(uri: string, options: RequestOptions): Promise<ReadResourceResult>;
  getPrompt(name: string, values: Record<string, string>, options: RequestOptions): Promise<GetPromptResult>;
  /** Resolves when it is over, by whomever. */
  readonly ended: Promise<void>;
  /** How the process ended and what it said last; empty for a server on the web. */
  readonly lastWords: () => string;
  /** What a request's error says of the connection. */
  readonly judge: (error: unknown) => ConnectionState;
  /** Takes back what the server changed in its lists since the connection was made. */
  onToolsChanged: (() => void) | undefined;
  readonly close: () => Promise<void>;
}

/** One sentence, without the server's name, about why there is no connection. */
export class McpConnectError extends Error {
  override readonly name = 'McpConnectError';
}

/** For one request: a token, and a wider one; a server that wants more never has enough. */
const signInsMax = 2;
/** For telling a server that its session is over; it finds out by itself as well. */
const sessionEndMs = 1_000;
/** The library walks pages of a list; a server that never ends is cut off. */
const pagesMax = 20;

/** Rejects with a `McpConnectError`; then nothing of it is left. */
export async function connect(target: McpTarget, deps: ConnectionDeps, signal: AbortSignal): Promise<Connection> {
  const library = await import('@modelcontextprotocol/client');
  if (target.transport === 'stdio') return connectStdio(library, target, deps, signal);
  const kinds = target.transport === 'any' ? (['http', 'sse'] as const) : ([target.transport] as const);
  let problem = '';
  for (const kind of kinds) {
    const attempt = await connectWeb(library, { ...target, transport: kind }, deps, signal);
    if (typeof attempt !== 'string') return attempt;
    // Of the two ways the first one's reason is the telling one.
    problem = problem === '' ? attempt : problem;
  }
  throw new McpConnectError(problem);
}

async function connectStdio(
  library: typeof Library,
  target: Extract<McpTarget, { transport: 'stdio' }>,
  { spawner }: ConnectionDeps,
  signal: AbortSignal,
): Promise<Connection> {
  const transport = new StdioTransport(target, spawner);
  const client = createClient(library, target);
  try {
    await client.connect(transport, { signal, timeout: target.startTimeoutMs });
  } catch (error) {
    const { exit, garbage } = transport;
    await transport.close();
    const noise = garbage === '' ? '' : `; its standard output is for messages only, and it wrote: ${garbage}`;
    throw new McpConnectError(`${startProblem(library, error, target, exit)}${noise}${lastWords(transport)}`, {
      cause: error,
    });
  }
  return connectionOf(client, {
    close: () => transport.close(),
    lastWords: () => `${transport.exit === undefined ? '' : ` (${transport.exit})`}${lastWords(transport)}`,
    retry: (work) => work(),
    judge: (error) => (error instanceof library.SdkError && lossCodes.has(error.code) ? 'broken' : 'usable'),
  });
}

/** A sentence when it cannot be reached this way. */
async function connectWeb(
  library: typeof Library,
  target: WebTarget & { readonly transport: 'http' | 'sse' },
  { fetch }: ConnectionDeps,
  signal: AbortSignal,
): Promise<Connection | string> {
  const session =
    target.oauth && createOAuthProvider(library, target.oauth, (url) => fetch(url, { redirect: 'manual', signal }));
  for (let signIns = 0; ; signIns += 1) {
    const transport = createWebTransport(library, { target, fetch, provider: session?.provider });
    const client = createClient(library, target);
    try {
      await client.connect(transport, { signal, timeout: target.startTimeoutMs });
      return connectionOf(client, {
        close: async () => {
          // A server that is gone knows no session any more.
          await Promise.race([transport.terminateSession?.().catch(() => undefined), sleep(sessionEndMs)]);
          await client.close();
        },
        lastWords: () => '',
        retry: (work) => signingIn(library, session, transport, work),
        judge: (error) => judgeWeb(library, error),
      });
    } catch (error) {
      await client.close().catch(() => undefined); // there was no connection
      try {
        if (signIns < signInsMax && (await signIn(library, session, transport, error))) continue;
      } catch (refusal) {
        return startProblem(library, refusal, target, undefined);
      }
      return startProblem(library, error, target, undefined);
    }
  }
}

type WebTransport = ReturnType<typeof createWebTransport>;

/** True when the error was a refusal that a new token may lift. */
async function signIn(
  library: typeof Library,
  session: OAuthSession | undefined,
  transport: WebTransport,
  error: unknown,
): Promise<boolean> {
  const answer = error instanceof library.UnauthorizedError ? session?.takeAnswer() : undefined;
  if (answer === undefined) return false;
  await transport.finishAuth(answer);
  return true;
}

/** A request that was refused for its token has done nothing, so it is made again. */
async function signingIn<Result>(
  library: typeof Library,
  session: OAuthSession | undefined,
  transport: WebTransport,
  work: () => Promise<Result>,
): Promise<Result> {
  for (let signIns = 0; ; signIns += 1) {
    try {
      return await work();
    } catch (error) {
      if (signIns >= signInsMax || !(await signIn(library, session, transport, error))) throw error;
    }
  }
}

function createClient(library: typeof Library, target: McpTarget): Client {
  const client = new library.Client(
    { name: 'kubiya', version },
    {
      listMaxPages: pagesMax,
      capabilities: target.acceptsDefaults ? { elicitation: { form: { applyDefaults: true } } } : {},
      // A result that does not match the server's own schema has happened all the same; the model reads it as it is.
      jsonSchemaValidator: {
        getValidator:
          <Value>(): JsonSchemaValidator<Value> =>
          (input) => ({ valid: true, data: input as Value, errorMessage: undefined }),
      },
    },
  );
  if (target.acceptsDefaults) {
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: {} }));
  }
  return client;
}

const lossCodes: ReadonlySet<string> = new Set(['CONNECTION_CLOSED', 'NOT_CONNECTED', 'SEND_FAILED']);

/** A session that the server does not know any more is answered with 404, before anything is done. */
function judgeWeb(library: typeof Library, error: unknown): ConnectionState {
  if (error instanceof library.SdkHttpError) return error.status === 404 ? 'stale' : 'usable';
  if (error instanceof library.SdkError) return lossCodes.has(error.code) ? 'broken' : 'usable';
  return error instanceof library.ProtocolError || error instanceof library.UnauthorizedError ? 'usable' : 'broken';
}

interface Lifeline {
  readonly judge: (error: unknown) => ConnectionState;
  readonly close: () => Promise<void>;
  readonly lastWords: () => string;
  readonly retry: <Result>(work: () => Promise<Result>) => Promise<Result>;
}

function connectionOf(client: Client, { close, lastWords: words, retry, judge }: Lifeline): Connection {
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  // oxlint-disable-next-line prefer-add-event-listener -- the library's client has only these
  client.onclose = () => end();
  // Late progress and unknown ids: the library reports them, and nothing follows from them.
  // oxlint-disable-next-line prefer-add-event-listener -- as above
  client.onerror = () => undefined;
  const connection: Connection = {
    offer: (options) => retry(() => readOffer(client, options)),
    callTool: (name, values, options) => retry(() => client.callTool({ name, arguments: values }, ours(options))),
    listResources: (options) => retry(() => readResourceList(client, options)),
    readResource: (uri, options) => retry(() => client.readResource({ uri }, ours(options))),
    getPrompt: (name, values, options) => retry(() => client.getPrompt({ name, arguments: values }, ours(options))),
    ended,
    lastWords: words,
    judge,
    onToolsChanged: undefined,
    close,
  };
  client.setNotificationHandler('notifications/tools/list_changed', () => connection.onToolsChanged?.());
  return connection;
}

/** The tool's own limit is a signal; the library's comes only behind it. */
const timeoutMarginMs = 60_000;

/** People watch it: each is an event of the execution, and a server may send thousands in a second. The first are few steps. */
const progressFirstCount = 20;
const progressEveryMs = 100;
const progressCharactersMax = 500;

function ours({ signal, timeoutMs, onProgress }: RequestOptions) {
  let count = 0;
  let nextAtMs = 0;
  return {
    signal,
    timeout: timeoutMs + timeoutMarginMs,
    ...(onProgress === undefined
      ? {}
      : {
          onprogress: ({ progress, total, message }: Progress): void => {
            const nowMs = performance.now();
            count += 1;
            if (count > progressFirstCount && nowMs < nextAtMs) return;
            nextAtMs = nowMs + progressEveryMs;
            const words = message === undefined ? '' : `${message.slice(0, progressCharactersMax).toWellFormed()} `;
            onProgress(`${words}${progress}${total === undefined ? '' : `/${total}`}\n`);
          },
        }),
  };
}

async function readOffer(client: Client, options: RequestOptions): Promise<McpOffer> {
  const { tools, prompts, resources } = client.getServerCapabilities() ?? {};
  const request = ours(options);
  const [toolList, promptList] = await Promise.all([
    tools === undefined ? undefined : client.listTools(undefined, request),
    prompts === undefined ? undefined : client.listPrompts(undefined, request),
  ]);
  return {
    tools: (toolList?.tools ?? []).map(offeredTool),
    prompts: (promptList?.prompts ?? []).map((prompt) => ({
      name: prompt.name,
      description: prompt.description ?? prompt.title ?? '',
      arguments: (prompt.arguments ?? []).map(({ name, required }) => ({ name, isRequired: required === true })),
    })),
    hasResources: resources !== undefined,
  };
}

/** A schema that a program wrote has a dozen; a thousand times as many end every `JSON.stringify` after this one. */
const schemaLevelsMax = 100;

function offeredTool({ name, title, description, inputSchema, annotations }: ServerTool): McpOffer['tools'][number] {
  const { $schema: _dialect, ...schema } = inputSchema as Record<string, unknown>;
  return {
    name,
    description: description ?? title ?? '',
    inputSchema: isDeeper(schema, schemaLevelsMax) ? { type: 'object' } : schema,
    isReadOnly: annotations?.readOnlyHint === true,
    isIdempotent: annotations?.idempotentHint === true,
  };
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((item) => isDeeper(item, levels - 1));
}

async function readResourceList(client: Client, options: RequestOptions): Promise<string> {
  const request = ours(options);
  const { resources } = await client.listResources(undefined, request);
  // Servers without templates may not know the question.
  const templates = await client.listResourceTemplates(undefined, request).catch(() => ({ resourceTemplates: [] }));
  const line = (at: string, name: string, more: readonly (string | undefined)[]): string =>
    `${at} - ${name}${more.map((text) => (text === undefined || text === '' ? '' : `; ${text}`)).join('')}`;
  const lines = [
    ...resources.map((one) => line(one.uri, one.name, [one.mimeType, one.description])),
    ...templates.resourceTemplates.map((one) => line(one.uriTemplate, `${one.name} (a template)`, [one.description])),
  ];
  return lines.length === 0 ? 'The server has no resources' : lines.join('\n');
}

function lastWords({ stderr }: StdioTransport): string {
  return stderr.trim() === '' ? '' : `; it said last: ${stderr.trim()}`;
}

function startProblem(library: typeof Library, error: unknown, target: McpTarget, exit: string | undefined): string {
  if (error instanceof StartError) {
    if (error.reason === 'command_not_found') return `the program ${error.command} was not found`;
    if (error.reason === 'directory_missing') return 'its working directory does not exist';
    return `${error.command} could not be started (${error.code})`;
  }
  if (exit !== undefined) return `its process ended at the start (${exit})`;
  if (error instanceof library.SdkHttpError) {
    const hint = error.status === 401 || error.status === 403 ? '; configure its headers or oauth' : '';
    return `it answered ${error.status}${hint}`;
  }
  if (error instanceof library.UnauthorizedError) return 'it wants authorization; configure its headers or oauth';
  if (error instanceof library.SdkError && error.code === library.SdkErrorCode.RequestTimeout) {
    return `it did not answer within ${target.startTimeoutMs / 1000} s`;
  }
  return messageOf(error);
}
