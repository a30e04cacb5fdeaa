// The worker's HTTP server: probes and status on loopback, for people, for `kubiya worker status` and for its supervisor.
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { Hono } from 'hono';
import * as v from 'valibot';
import type { WebConfig } from '../config/config.ts';
import { errnoOf, KubiyaError } from '../errors.ts';
import {
  type ControlAddress,
  type StopRequest,
  stopRequestSchema,
  type SupervisedBy,
  supervisedBySchema,
} from '../protocol/instance.ts';
import type { WorkerView } from './worker-view.ts';

export interface WorkerHttpOptions {
  readonly web: WebConfig;
  readonly view: WorkerView;
  readonly onStop: (request: StopRequest) => void;
  /** Another supervisor has taken this worker over. */
  readonly onSupervisor: (supervisor: SupervisedBy) => void;
}

export interface WorkerHttp {
  /** Where `kubiya worker status`, `stop` and the supervisor ask. Always present, always on loopback. */
  readonly control: ControlAddress;
  /** Undefined with --no-webui. */
  readonly webUrl: string | undefined;
  readonly webPort: number | undefined;
  stop(): Promise<void>;
}

type Server = ReturnType<typeof Bun.serve>;

/** The default port moves this far before the start gives up. */
const portAttemptsMax = 20;
const tokenBytes = 24;

export async function startWorkerHttp(options: WorkerHttpOptions): Promise<WorkerHttp> {
  const { web } = options;
  const token = randomBytes(tokenBytes).toString('base64url');
  const control = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: createControlApp(options, token).fetch });
  const servers: Server[] = [control];
  let webServer: Server | undefined;
  if (web.isEnabled) {
    webServer = listen(web, createProbesApp(options.view).fetch);
    servers.push(webServer);
  }
  return {
    control: { port: portOf(control), token },
    webUrl: webServer === undefined ? undefined : `http://${web.host}:${portOf(webServer)}`,
    webPort: webServer === undefined ? undefined : portOf(webServer),
    stop: async () => {
      await Promise.all(servers.map((server) => server.stop(true)));
    },
  };
}

function createControlApp({ view, onStop, onSupervisor }: WorkerHttpOptions, token: string): Hono {
  const app = new Hono();
  app.use(async (context, next) => {
    const given = Buffer.from((context.req.header('authorization') ?? '').replace(/^Bearer /, ''));
    const expected = Buffer.from(token);
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return context.text('', 401);
    return next();
  });
  app.get('/v1/status', (context) => context.json(view.snapshot()));
  app.get('/livez', (context) => context.text('ok'));
  app.post('/v1/stop', async (context) => {
    const parsed = v.safeParse(stopRequestSchema, await context.req.json().catch(() => undefined));
    if (!parsed.success) return context.text('expected a stop request', 400);
    onStop(parsed.output);
    return context.json({ accepted: true }, 202);
  });
  app.post('/v1/supervisor', async (context) => {
    const parsed = v.safeParse(supervisedBySchema, await context.req.json().catch(() => undefined));
    if (!parsed.success) return context.text('expected a supervisor', 400);
    onSupervisor(parsed.output);
    return context.json({ accepted: true });
  });
  return app;
}

function createProbesApp(view: WorkerView): Hono {
  const app = new Hono();
  app.get('/livez', (context) => context.text('ok'));
  app.get('/readyz', (context) => {
    const reason = view.snapshot().not_ready_reason;
    return reason === null ? context.text('ok') : context.text(reason, 503);
  });
  return app;
}

function listen(web: WebConfig, fetch: (request: Request) => Response | Promise<Response>): Server {
  const attempts = web.isPortExplicit || web.port === 0 ? 1 : portAttemptsMax;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return Bun.serve({ hostname: web.host, port: web.port + attempt, fetch });
    } catch (error) {
      const isTaken = errnoOf(error) === 'EADDRINUSE';
      if (isTaken && attempt + 1 < attempts) continue;
      throw new KubiyaError(
        isTaken ? `the web port ${web.port} is taken` : `the web port cannot listen on ${web.host}:${web.port}`,
        {
          kind: 'configuration',
          code: isTaken ? 'port_taken' : 'listen_failed',
          hint: 'choose another with --webui-port, or serve none with --no-webui',
          cause: error,
        },
      );
    }
  }
}

function portOf(server: Server): number {
  if (server.port === undefined) throw new Error('a TCP server without a port');
  return server.port;
}
