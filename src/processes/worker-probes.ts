// What the worker shows without being asked who asks: liveness, readiness, metrics, and the guard of the port they are on.
import { timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { Hono, type MiddlewareHandler } from 'hono';
import { version } from '../version.ts';
import type { WorkerView } from './worker-view.ts';

export interface ProbeOptions {
  readonly view: WorkerView;
  /** The page of metrics. */
  readonly metrics: () => Promise<string>;
  readonly contentType: string;
}

/** A browser may be led to the web port by a hostile page; the port of the metrics is for machines. */
export interface Guard {
  /** What the port listens on, and the port once it is known. */
  readonly host: string;
  readonly port: () => number;
  /** Wanted for everything but the probes. */
  readonly token: string | undefined;
}

const probePaths: ReadonlySet<string> = new Set(['/livez', '/readyz']);

/** `guard` undefined: no token and any Host. Only GET and HEAD, and nothing of a request is ever repeated in an answer. */
export function createProbesApp({ view, metrics, contentType }: ProbeOptions, guard: Guard | undefined): Hono {
  const app = new Hono();
  app.use(async ({ req, text, header }, next) => {
    header('x-content-type-options', 'nosniff');
    header('cache-control', 'no-store');
    if (req.method === 'GET' || req.method === 'HEAD') return next();
    header('allow', 'GET, HEAD');
    return text('only GET and HEAD\n', 405);
  });
  if (guard !== undefined) app.use(refuseStrangers(guard));
  app.get('/livez', (context) => answer(context, view.notLiveReason()));
  app.get('/readyz', (context) => answer(context, view.snapshot().not_ready_reason));
  app.get('/metrics', async (context) => context.body(await metrics(), 200, { 'content-type': contentType }));
  if (guard !== undefined) app.get('/', (context) => context.text(contents));
  app.notFound((context) => context.text('not found\n', 404));
  app.onError((_error, context) => context.text('internal error\n', 500));
  return app;
}

const contents = `kubiya worker ${version}

/metrics  its numbers, for Prometheus
/livez    whether this process works
/readyz   whether it may get work
`;

function answer({ text }: { text: (body: string, status: 200 | 503) => Response }, reason: string | null): Response {
  return reason === null ? text('ok\n', 200) : text(`${reason}\n`, 503);
}

/**
 * A page whose name was made to point here (DNS rebinding) still sends its own name as the Host. An address is no name, so
 * where all addresses are listened on every address will do.
 */
function refuseStrangers({ host, port, token }: Guard): MiddlewareHandler {
  const isOpen = host === '0.0.0.0' || host === '::';
  const names = new Set(['127.0.0.1', 'localhost', '[::1]', isIP(host) === 6 ? `[${host}]` : host.toLowerCase()]);
  const isKnown = (given: string): boolean => {
    const [, name = '', givenPort = '80'] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(given.toLowerCase()) ?? [];
    if (Number(givenPort) !== port()) return false;
    return names.has(name) || (isOpen && isIP(name.replaceAll(/^\[|\]$/g, '')) !== 0);
  };
  return async ({ req, text, header }, next) => {
    if (!isKnown(req.header('host') ?? '')) return text('this port does not answer to that name\n', 403);
    if (token === undefined || probePaths.has(req.path) || isBearer(req.header('authorization'), token)) return next();
    header('www-authenticate', 'Bearer');
    return text('a token is needed\n', 401);
  };
}

export function isBearer(authorization: string | undefined, token: string): boolean {
  const given = Buffer.from((authorization ?? '').replace(/^Bearer /i, ''));
  const expected = Buffer.from(token);
  return given.length === expected.length && timingSafeEqual(given, expected);
}
