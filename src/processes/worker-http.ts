// The worker's HTTP server: probes and status on loopback, for people, for `kubiya worker status` and for its supervisor.
import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { Hono } from 'hono';
import * as v from 'valibot';
import type { MetricsConfig, WebConfig } from '../config/config.ts';
import { errnoOf, KubiyaError } from '../errors.ts';
import {
  type ControlAddress,
  type StopRequest,
  stopRequestSchema,
  type SupervisedBy,
  supervisedBySchema,
} from '../protocol/instance.ts';
import { createProbesApp, isBearer, type ProbeOptions } from './worker-probes.ts';

export interface WorkerHttpOptions extends ProbeOptions {
  readonly web: WebConfig;
  readonly metricsListener: MetricsConfig;
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
  /** Of the listener that only serves metrics and probes; undefined without METRICS_ENABLED. */
  readonly metricsUrl: string | undefined;
  readonly metricsPort: number | undefined;
  stop(): Promise<void>;
}

type Server = ReturnType<typeof Bun.serve>;

/** The default port moves this far before the start gives up. */
const portAttemptsMax = 20;
const tokenBytes = 24;
/** A client that says nothing for so long is gone, or wants to hold the connection. */
const idleSecondsMax = 10;
/** The largest request is a supervisor's address. */
const requestBytesMax = 64_000;

export async function startWorkerHttp(options: WorkerHttpOptions): Promise<WorkerHttp> {
  const { web, metricsListener } = options;
  const controlToken = randomBytes(tokenBytes).toString('base64url');
  const control = serve('127.0.0.1', 0, createControlApp(options, controlToken));
  const servers: Server[] = [control];
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop(true)));
  };
  try {
    let webServer: Server | undefined;
    if (web.isEnabled) {
      const port = (): number => (webServer === undefined ? 0 : portOf(webServer));
      webServer = listenOnWeb(web, createProbesApp(options, { host: web.host, port, token: web.token?.reveal() }));
      servers.push(webServer);
    }
    const metrics = metricsListener.isEnabled
      ? listenForMetrics(metricsListener, createProbesApp(options, undefined))
      : undefined;
    if (metrics !== undefined) servers.push(metrics);
    return {
      control: { port: portOf(control), token: controlToken },
      ...(webServer === undefined
        ? { webUrl: undefined, webPort: undefined }
        : { webUrl: urlOf(web.host, webServer), webPort: portOf(webServer) }),
      ...(metrics === undefined
        ? { metricsUrl: undefined, metricsPort: undefined }
        : { metricsUrl: `${urlOf(metricsListener.host, metrics)}/metrics`, metricsPort: portOf(metrics) }),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function createControlApp({ view, onStop, onSupervisor }: WorkerHttpOptions, token: string): Hono {
  const app = new Hono();
  app.use(async ({ req, text }, next) => (isBearer(req.header('authorization'), token) ? await next() : text('', 401)));
  app.get('/v1/status', (context) => context.json(view.snapshot()));
  app.get('/livez', ({ text }) => {
    const reason = view.notLiveReason();
    return reason === null ? text('ok') : text(reason, 503);
  });
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

function listenOnWeb(web: WebConfig, app: Hono): Server {
  const attempts = web.isPortExplicit || web.port === 0 ? 1 : portAttemptsMax;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return serve(web.host, web.port + attempt, app);
    } catch (error) {
      if (errnoOf(error) === 'EADDRINUSE' && attempt + 1 < attempts) continue;
      throw listenError('web port', web, 'choose another with --webui-port, or serve none with --no-webui', error);
    }
  }
}

function listenForMetrics(metrics: MetricsConfig, app: Hono): Server {
  try {
    return serve(metrics.host, metrics.port, app);
  } catch (error) {
    throw listenError(
      'port of the metrics',
      metrics,
      'choose another with METRICS_PORT, or unset METRICS_ENABLED',
      error,
    );
  }
}

function listenError(what: string, at: { host: string; port: number }, hint: string, cause: unknown): KubiyaError {
  const isTaken = errnoOf(cause) === 'EADDRINUSE';
  return new KubiyaError(
    isTaken ? `the ${what} ${at.port} is taken` : `the ${what} cannot listen on ${at.host}:${at.port}`,
    { kind: 'configuration', code: isTaken ? 'port_taken' : 'listen_failed', hint, cause },
  );
}

function serve(hostname: string, port: number, app: Hono): Server {
  return Bun.serve({
    hostname,
    port,
    fetch: app.fetch,
    idleTimeout: idleSecondsMax,
    maxRequestBodySize: requestBytesMax,
  });
}

function urlOf(host: string, server: Server): string {
  return `http://${isIP(host) === 6 ? `[${host}]` : host}:${portOf(server)}`;
}

function portOf(server: Server): number {
  if (server.port === undefined) throw new Error('a TCP server without a port');
  return server.port;
}
