// A worker's numbers from everywhere: the page for Prometheus with that of Temporal's SDK, the line in the log, OpenTelemetry.
import { createServer } from 'node:net';
import type { Config } from '../config/config.ts';
import { messageOf } from '../errors.ts';
import type { Metrics, WorkerSample } from '../telemetry/metrics.ts';
import { createWorkNumbers, metricsLine } from '../telemetry/work-numbers.ts';
import { version } from '../version.ts';
import type { InstanceScope } from './instance-scope.ts';
import { startMetricsExport, startTracing } from './open-telemetry.ts';
import type { SessionTelemetry, SessionWorker } from './session-worker.ts';
import type { Teardown } from './teardown.ts';
import type { WorkerView } from './worker-view.ts';

export interface WorkerMetricsOptions {
  readonly config: Config;
  readonly scope: InstanceScope;
  readonly view: WorkerView;
  readonly queue: string;
}

export interface WorkerMetrics {
  readonly telemetry: SessionTelemetry;
  readonly contentType: string;
  /** Rejects when nobody can ask for it: without a listener nothing is counted. */
  page(): Promise<string>;
  countControlPlane(bytes: { readonly sent: number; readonly received: number }): void;
  /** From Ready on; the teardown says the last line. */
  attach(running: SessionWorker, teardown: Teardown): void;
}

/** The interval of the worker guide's `Metrics:` line. */
const lineEveryMs = 60_000;
/** Of Prometheus' text format, which also that of Temporal's SDK is in. */
const prometheusContentType = 'text/plain; version=0.0.4; charset=utf-8';
/** Temporal's page comes from a thread of this process; when it does not, its part is left out. */
const temporalPageLimitMs = 2_000;

export async function startWorkerMetrics(options: WorkerMetricsOptions, teardown: Teardown): Promise<WorkerMetrics> {
  const { config, queue } = options;
  const hasListener = config.web.isEnabled || config.metrics.isEnabled;
  const isAsked = hasListener || config.openTelemetry?.metricsUrl !== undefined;
  const traffic = { sent: 0, received: 0 };
  let running: SessionWorker | undefined;
  const tracer = await startTracing(options, teardown);
  const sample = (): WorkerSample => ({
    ...sampleOf(options, running),
    controlPlaneBytes: traffic,
    spans: tracer?.counters ?? null,
  });
  const metrics = isAsked ? await loadMetrics(queue) : undefined;
  if (metrics !== undefined) {
    teardown.add('metrics', 1_000, () => metrics.stop());
    await startMetricsExport(options, () => metrics.families(sample()), teardown);
  }
  const temporalMetricsPort = hasListener ? await freePort() : undefined;
  return {
    telemetry: { meters: [metrics, tracer].filter((meter) => meter !== undefined), temporalMetricsPort },
    contentType: prometheusContentType,
    page: async () => {
      if (metrics === undefined) throw new Error('no metrics are kept');
      const [own, temporals] = await Promise.all([metrics.text(sample()), temporalPage(running, temporalMetricsPort)]);
      return `${own}${temporals}`;
    },
    countControlPlane: ({ sent, received }) => {
      traffic.sent += sent;
      traffic.received += received;
    },
    attach: (next, life) => {
      running = next;
      logNumbers(options, next, life);
    },
  };
}

/** Loaded only where somebody can look: the library costs a few milliseconds and megabytes. */
async function loadMetrics(queue: string): Promise<Metrics> {
  const { createMetrics } = await import('../telemetry/metrics.ts');
  return createMetrics({ version, queue });
}

const noEvents = { queued: 0, delivered: 0, droppedChunks: 0, refused: 0, failedAttempts: 0 };

function sampleOf(
  { config, view }: WorkerMetricsOptions,
  running: SessionWorker | undefined,
): Omit<WorkerSample, 'controlPlaneBytes' | 'spans'> {
  const stats = running?.worker.stats();
  return {
    status: view.snapshot(),
    host: stats?.rssBytes === undefined ? null : { cpuMicroseconds: stats.cpuMicroseconds ?? 0 },
    restarts: config.supervisedBy?.reveal().restarts ?? 0,
    heartbeats: running?.heartbeat.counters ?? { sent: 0, failed: 0 },
    backlog: running?.worker.temporal().backlog ?? null,
    events: stats?.events ?? noEvents,
    modelCallsRepaid: stats?.modelCallsRepaid ?? 0,
  };
}

/** Its names begin with `temporal_`, ours with `kubiya_`; empty until the runtime is there, and when it does not answer. */
async function temporalPage(running: SessionWorker | undefined, port: number | undefined): Promise<string> {
  if (running === undefined || port === undefined) return '';
  try {
    const signal = AbortSignal.timeout(temporalPageLimitMs);
    const response = await fetch(`http://127.0.0.1:${port}/metrics`, { signal });
    const text = response.ok ? await response.text() : '';
    return /^# (HELP|TYPE) temporal_/.test(text) ? text : '';
  } catch (error) {
    return `# the metrics of Temporal's SDK are missing: ${messageOf(error).replaceAll('\n', ' ')}\n`;
  }
}

function logNumbers({ scope }: WorkerMetricsOptions, running: SessionWorker, teardown: Teardown): void {
  const log = scope.log.child('metrics');
  const numbers = createWorkNumbers();
  const say = (): void => {
    const { worker, counters, heartbeat } = running;
    const facts = {
      counters,
      slots: worker.slots(),
      heartbeats: heartbeat.counters,
      backlog: worker.temporal().backlog,
      eventsQueued: worker.stats().events.queued,
      other: worker.stats(),
    };
    log.info(metricsLine(numbers(facts)));
  };
  const timer = setInterval(say, lineEveryMs).unref();
  teardown.add('last line of metrics', 1_000, () => {
    clearInterval(timer);
    say();
  });
}

/** The SDK takes no port 0, because it has no way to say which one it got. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
