// The web side of a server: which transport, what headers, and bodies that stay within a limit.
import type * as Library from '@modelcontextprotocol/client';
import type {
  FetchLike,
  OAuthClientProvider,
  StreamableHTTPClientTransport,
  Transport,
} from '@modelcontextprotocol/client';
import type { Fetch } from '../../lib/network.ts';
import type { McpTarget } from './configuration.ts';
import { messageBytesMax } from './message-reader.ts';

export type WebTarget = Exclude<McpTarget, { transport: 'stdio' }>;

/** A server that closes its stream is asked again this often; a call that waits has its own time limit. */
const reconnectionsMax = 5;
const reconnectFirstMs = 1_000;
const reconnectMostMs = 30_000;
const reconnectGrowth = 2;

export function createWebTransport(
  library: typeof Library,
  options: {
    readonly target: WebTarget & { readonly transport: 'http' | 'sse' };
    readonly fetch: Fetch;
    readonly provider: OAuthClientProvider | undefined;
  },
): Transport &
  Pick<StreamableHTTPClientTransport, 'finishAuth'> &
  Partial<Pick<StreamableHTTPClientTransport, 'terminateSession'>> {
  const { target, fetch, provider } = options;
  const url = new URL(target.url);
  const common = {
    fetch: boundedFetch(withHeaders(fetch, { origin: url.origin, headers: target.headers })),
    ...(provider === undefined
      ? {}
      : { authProvider: provider, skipIssuerMetadataValidation: target.oauth?.skip_issuer_check === true }),
  };
  // oxlint-disable-next-line no-deprecated -- for servers that know nothing newer
  if (target.transport === 'sse') return new library.SSEClientTransport(url, common);
  const reconnectionOptions = {
    maxRetries: reconnectionsMax,
    initialReconnectionDelay: reconnectFirstMs,
    maxReconnectionDelay: reconnectMostMs,
    reconnectionDelayGrowFactor: reconnectGrowth,
  };
  return new library.StreamableHTTPClientTransport(url, { ...common, reconnectionOptions });
}

/**
 * The configured headers are for the server alone: its own answers say where the authorization server is. What the library
 * sets itself goes before them.
 */
function withHeaders(
  fetch: Fetch,
  server: { readonly origin: string; readonly headers: Readonly<Record<string, string>> },
): FetchLike {
  return (url, init) => {
    if (new URL(url).origin !== server.origin) return fetch(String(url), init);
    const headers = new Headers(server.headers);
    for (const [name, value] of new Headers(init?.headers)) headers.set(name, value);
    return fetch(String(url), { ...init, headers });
  };
}

/** The library reads a body whole, that of an error too, and every line of a stream. */
function boundedFetch(fetch: FetchLike): FetchLike {
  return async (url, init) => {
    const response = await fetch(url, init);
    const type = response.headers.get('content-type') ?? '';
    // Nobody reads the body of a redirect.
    if (response.body === null || (response.status >= 300 && response.status < 400)) return response;
    const { status, statusText, headers } = response;
    return new Response(response.body.pipeThrough(limit(type.includes('event-stream'))), {
      status,
      statusText,
      headers,
    });
  };
}

function limit(isPerLine: boolean): TransformStream<Uint8Array, Uint8Array> {
  let bytes = 0;
  return new TransformStream({
    transform(chunk, controller) {
      const newline = isPerLine ? chunk.lastIndexOf(10) : -1;
      bytes = newline === -1 ? bytes + chunk.length : chunk.length - newline - 1;
      if (bytes > messageBytesMax) {
        controller.error(new Error(`its answer has more than the ${messageBytesMax} bytes that are read`));
      } else controller.enqueue(chunk);
    },
  });
}
