// The worker's numbers for Prometheus: what its work adds up to, and what is true when somebody looks.
import { readdirSync } from 'node:fs';
import { Counter, Gauge, Histogram, Registry, type MetricObjectWithValues, type MetricValue } from 'prom-client';
import type { LiveStatus } from '../protocol/instance.ts';
import type { Meter, WorkFact } from './meter.ts';

/** What is true at a look; null is not known (yet) and is left out. */
export interface WorkerSample {
  readonly status: LiveStatus;
  /** Of the process that hosts Temporal's SDK, when that is not this one. */
  readonly host: { readonly cpuMicroseconds: number } | null;
  /** Ends that were not asked for, since the supervisor started; 0 without one. */
  readonly restarts: number;
  readonly heartbeats: { readonly sent: number; readonly failed: number };
  readonly backlog: number | null;
  readonly events: {
    readonly queued: number;
    readonly delivered: number;
    readonly droppedChunks: number;
    readonly refused: number;
    readonly failedAttempts: number;
  };
  readonly modelCallsRepaid: number;
  /** Bodies exchanged with the control plane. */
  readonly controlPlaneBytes: { readonly sent: number; readonly received: number };
  /** Null when nothing is exported. */
  readonly spans: { readonly exported: number; readonly dropped: number } | null;
}

export type MetricFamily = MetricObjectWithValues<MetricValue<string>>;

export interface Metrics extends Meter {
  /** In Prometheus' text format, ending with a newline. */
  text(sample: WorkerSample): Promise<string>;
  families(sample: WorkerSample): Promise<readonly MetricFamily[]>;
  stop(): void;
}

/** From a one-word answer to the longest that a day's agent runs; a quarter to a half between neighbours. */
const executionSecondsBuckets = [1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400, 86_400];
/** From a server on the same machine to a reasoning model that thinks for minutes. */
const modelSecondsBuckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
/** From reading a file to a build. */
const toolSecondsBuckets = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 3_600];
/** A busy loop is milliseconds late, a blocked one seconds. */
const lagSecondsBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30];
/** Often enough to see what a person would notice, rarely enough to cost nothing. */
const lagEveryMs = 1_000;
/** Names come from agents' configurations: what is beyond so many is counted under `other`. */
const labelValuesMax = 100;

export function createMetrics(build: Readonly<Record<'version' | 'queue', string>>): Metrics {
  const registry = new Registry();
  const work = createWorkMetrics(registry);
  let sample: WorkerSample | undefined;
  for (const one of sampled) register(registry, one, () => sample);
  const info = new Gauge({
    name: 'kubiya_build_info',
    help: 'Always 1; its labels say what runs',
    labelNames: ['version', 'queue', 'runtime'],
    registers: [registry],
    collect: () => {
      info.reset();
      info.set({ ...build, runtime: sample?.host ? 'node' : 'bun' }, 1);
    },
  });
  const lag = watchLag(registry);
  return {
    record: (fact) => work(fact),
    text: async (next) => {
      sample = next;
      return await registry.metrics();
    },
    families: async (next) => {
      sample = next;
      return await registry.getMetricsAsJSON();
    },
    stop: () => clearInterval(lag),
  };
}

/** What is counted as it happens. */
function createWorkMetrics(registry: Registry): (fact: WorkFact) => void {
  const make = createMaker(registry);
  const executions = make.counter('kubiya_executions_total', 'Executions that ended here', 'outcome');
  for (const outcome of ['completed', 'failed', 'cancelled']) executions.inc({ outcome }, 0);
  const executionSeconds = make.histogram(
    'kubiya_execution_duration_seconds',
    'From the start of an execution to its end, waiting included',
    executionSecondsBuckets,
    'outcome',
  );
  const tools = make.counter('kubiya_tool_calls_total', 'Tool calls that ended here', 'tool', 'outcome');
  const toolSeconds = make.histogram('kubiya_tool_call_duration_seconds', 'Tool calls', toolSecondsBuckets, 'tool');
  const toolName = createLabelLimit();
  const countModel = createModelMetrics(make);
  return (fact) => {
    switch (fact.type) {
      case 'execution_ended':
        executions.inc({ outcome: fact.outcome });
        executionSeconds.observe({ outcome: fact.outcome }, seconds(fact.durationMs));
        return;
      case 'model_called':
        countModel(fact);
        return;
      case 'tool_called': {
        // The model may call what does not exist by any name.
        const tool = fact.isKnown ? toolName(fact.tool) : 'unknown';
        tools.inc({ tool, outcome: fact.outcome });
        toolSeconds.observe({ tool }, seconds(fact.durationMs));
        return;
      }
    }
  };
}

function createMaker(registry: Registry) {
  const registers = [registry];
  return {
    counter: (name: string, help: string, ...labelNames: string[]) =>
      new Counter({ name, help, labelNames, registers }),
    histogram: (name: string, help: string, buckets: number[], ...labelNames: string[]) =>
      new Histogram({ name, help, buckets, labelNames, registers }),
  };
}

function createModelMetrics(make: ReturnType<typeof createMaker>) {
  const turns = make.counter('kubiya_turns_total', 'Answers of a model, each a turn of an agent');
  const requests = make.counter('kubiya_model_requests_total', 'Attempts at a model', 'model', 'outcome');
  const requestSeconds = make.histogram(
    'kubiya_model_request_duration_seconds',
    'From the request to the end of the answer',
    modelSecondsBuckets,
    'model',
  );
  const firstTokenSeconds = make.histogram(
    'kubiya_model_first_token_seconds',
    'From the request to the first words of the answer',
    modelSecondsBuckets,
    'model',
  );
  const tokens = make.counter(
    'kubiya_model_tokens_total',
    'Tokens as the provider counted them; cache_read and cache_write are part of input',
    'model',
    'type',
  );
  const cost = make.counter('kubiya_model_cost_usd_total', 'US dollars, where the provider states the cost', 'model');
  const unpriced = make.counter('kubiya_model_requests_unpriced_total', 'Answers without a stated cost', 'model');
  const bytes = make.counter('kubiya_model_bytes_total', 'Bodies exchanged with models', 'direction');
  for (const direction of ['sent', 'received']) bytes.inc({ direction }, 0);
  const modelName = createLabelLimit();

  return (fact: Extract<WorkFact, { type: 'model_called' }>): void => {
    const model = modelName(fact.model);
    requests.inc({ model, outcome: fact.outcome });
    requestSeconds.observe({ model }, seconds(fact.durationMs));
    bytes.inc({ direction: 'sent' }, fact.bytesSent ?? 0);
    bytes.inc({ direction: 'received' }, fact.bytesReceived ?? 0);
    if (fact.outcome !== 'success') return;
    turns.inc();
    if (fact.firstDeltaMs !== undefined) firstTokenSeconds.observe({ model }, seconds(fact.firstDeltaMs));
    const { usage } = fact;
    tokens.inc({ model, type: 'input' }, amount(usage.inputTokens));
    tokens.inc({ model, type: 'output' }, amount(usage.outputTokens));
    tokens.inc({ model, type: 'cache_read' }, amount(usage.cacheReadTokens));
    tokens.inc({ model, type: 'cache_write' }, amount(usage.cacheWriteTokens));
    if (fact.costUsd === undefined) unpriced.inc({ model });
    else cost.inc({ model }, amount(fact.costUsd));
  };
}

/** What others say need not be a number that a counter takes, and clocks may be set back. */
const amount = (value: number): number => (Number.isFinite(value) && value > 0 ? value : 0);
const seconds = (ms: number): number => amount(ms) / 1000;

function createLabelLimit(): (value: string) => string {
  const known = new Set<string>();
  return (value) => {
    if (known.has(value)) return value;
    if (known.size >= labelValuesMax) return 'other';
    known.add(value);
    return value;
  };
}

/** One value, or one for each value of a label; null is left out. */
type Reading = number | null | Readonly<Record<string, number>>;

interface Sampled {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly label?: string;
  readonly read: (sample: WorkerSample) => Reading;
}

const age = (ms: number | null): number | null => (ms === null ? null : ms / 1000);
const flag = (is: boolean): number => (is ? 1 : 0);

/** What is read at a look. One list, because a dashboard is made of it. */
const sampled: readonly Sampled[] = [
  gauge('kubiya_worker_ready', 'Whether it may get work, as /readyz says', ({ status }) =>
    flag(status.not_ready_reason === null),
  ),
  {
    ...gauge('kubiya_worker_state', '1 for the state that it is in', ({ status: { state } }) => ({
      starting: flag(state === 'starting'),
      running: flag(state === 'running'),
      draining: flag(state === 'draining'),
    })),
    label: 'state',
  },
  counter('kubiya_worker_restarts_total', 'Unwanted ends since its supervisor started', ({ restarts }) => restarts),
  gauge('kubiya_uptime_seconds', 'Since the start of this process', () => process.uptime()),
  gauge('kubiya_control_plane_up', 'Whether heartbeats arrive', ({ status }) =>
    status.control_plane === null ? null : flag(status.control_plane.is_up),
  ),
  gauge('kubiya_temporal_up', 'Whether Temporal answers', ({ status }) =>
    status.temporal === null ? null : flag(status.temporal.is_up),
  ),
  {
    ...counter('kubiya_heartbeats_total', 'Heartbeats to the control plane', ({ heartbeats: { sent, failed } }) => ({
      ok: sent,
      failed,
    })),
    label: 'outcome',
  },
  gauge('kubiya_heartbeat_age_seconds', 'Since the last heartbeat that arrived', ({ status }) =>
    age(status.heartbeat_age_ms),
  ),
  gauge('kubiya_temporal_poll_age_seconds', 'Since Temporal last saw a poll of this worker', ({ status }) =>
    age(status.poll_age_ms),
  ),
  gauge('kubiya_queue_backlog', 'Tasks that wait on the queue, as Temporal estimates', ({ backlog }) => backlog),
  gauge('kubiya_slots_used', 'Model and tool calls that run', ({ status }) => status.slots.used),
  gauge('kubiya_slots_max', 'Calls that may run at the same time', ({ status }) => status.slots.max),
  gauge('kubiya_executions_active', 'Executions with a call that runs here', ({ status }) => status.executions.length),
  counter(
    'kubiya_model_calls_repaid_total',
    'Model calls made again because an answer was lost',
    (sample) => sample.modelCallsRepaid,
  ),
  gauge('kubiya_event_queue_depth', 'Reports that the control plane has not got yet', ({ events }) => events.queued),
  counter('kubiya_events_delivered_total', 'Reports that arrived', ({ events }) => events.delivered),
  {
    ...counter('kubiya_events_dropped_total', 'Reports that never arrive, by reason', ({ events }) => ({
      queue_full: events.droppedChunks,
      refused: events.refused,
    })),
    label: 'reason',
  },
  counter(
    'kubiya_event_delivery_failures_total',
    'Attempts to deliver that failed',
    ({ events }) => events.failedAttempts,
  ),
  {
    ...counter('kubiya_control_plane_bytes_total', 'Bodies exchanged with the control plane', (sample) => ({
      ...sample.controlPlaneBytes,
    })),
    label: 'direction',
  },
  {
    ...counter('kubiya_trace_spans_total', 'Spans for the OpenTelemetry collector', ({ spans }) =>
      spans === null ? null : { exported: spans.exported, dropped: spans.dropped },
    ),
    label: 'outcome',
  },
  counter('kubiya_process_cpu_seconds_total', 'User and system time of the worker, without its tools', ({ host }) => {
    const { user, system } = process.cpuUsage();
    return (user + system + (host?.cpuMicroseconds ?? 0)) / 1_000_000;
  }),
  gauge(
    'kubiya_process_resident_memory_bytes',
    'Resident memory of the worker, without its tools',
    ({ status }) => status.rss_bytes,
  ),
  gauge('kubiya_process_open_fds', 'Open files, sockets and pipes', openFiles),
];

function gauge(name: string, help: string, read: Sampled['read']): Sampled {
  return { name, type: 'gauge', help, read };
}

function counter(name: string, help: string, read: Sampled['read']): Sampled {
  return { name, type: 'counter', help, read };
}

/** The library's own values are replaced at every look: it has no counter that is read elsewhere. */
function register(registry: Registry, one: Sampled, sample: () => WorkerSample | undefined): void {
  const { name, help, label } = one;
  const options = { name, help, labelNames: label === undefined ? [] : [label], registers: [registry] };
  const fill = (metric: Counter | Gauge): void => {
    const now = sample();
    const reading = now === undefined ? null : one.read(now);
    metric.reset();
    if (typeof reading === 'number') metric.inc(reading);
    // Without a label there would be a 0.
    else if (reading === null && label === undefined) metric.remove();
    else for (const [value, amount] of Object.entries(reading ?? {})) metric.inc({ [label ?? '']: value }, amount);
  };
  if (one.type === 'gauge') {
    const metric: Gauge = new Gauge({ ...options, collect: () => fill(metric) });
  } else {
    const metric: Counter = new Counter({ ...options, collect: () => fill(metric) });
  }
}

function openFiles(): number | null {
  try {
    // One of them is the directory that is being read.
    return readdirSync('/proc/self/fd').length - 1;
  } catch {
    // Not Linux.
    return null;
  }
}

/** How late a timer comes is how long everything else had to wait. */
function watchLag(registry: Registry): NodeJS.Timeout {
  const lag = new Histogram({
    name: 'kubiya_event_loop_lag_seconds',
    help: 'How late a timer of one second came',
    buckets: lagSecondsBuckets,
    registers: [registry],
  });
  let expectedMs = performance.now() + lagEveryMs;
  return setInterval(() => {
    const now = performance.now();
    lag.observe(seconds(now - expectedMs));
    expectedMs = now + lagEveryMs;
  }, lagEveryMs).unref();
}
