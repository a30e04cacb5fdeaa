// The worker's numbers as OTLP metrics, once a minute: the same families that Prometheus sees.
import type { MetricFamily } from './metrics.ts';
import { attributesOf, postOtlp, type AttributeValue, type OtlpOptions } from './otlp.ts';

export interface MetricsExport {
  /** Sends once more, for at most `limitMs`. */
  stop(limitMs: number): Promise<void>;
}

/** The default of OTEL_METRIC_EXPORT_INTERVAL. */
const exportEveryMs = 60_000;

export interface MetricsExportOptions extends OtlpOptions {
  readonly version: string;
  readonly startedAtMs: number;
  readonly families: () => Promise<readonly MetricFamily[]>;
}

/** A request that fails is not repeated: the next one holds all that was in it. */
export function startMetricsExport(options: MetricsExportOptions): MetricsExport {
  const { log, url } = options;
  let isFailing = false;
  const send = async (signal: AbortSignal): Promise<void> => {
    const answer = await postOtlp(options, await bodyOf(options), signal);
    const isFailure = answer.type !== 'taken';
    if (isFailure && !isFailing)
      log.warn('OpenTelemetry’s collector does not take metrics', { url, reason: answer.reason });
    if (!isFailure && isFailing) log.info('OpenTelemetry’s collector takes metrics again', { url });
    isFailing = isFailure;
  };
  let sending: Promise<void> | undefined;
  const timer = setInterval(() => {
    sending ??= send(new AbortController().signal).finally(() => (sending = undefined));
  }, exportEveryMs).unref();
  return {
    stop: async (limitMs) => {
      clearInterval(timer);
      await send(AbortSignal.timeout(limitMs));
    },
  };
}

async function bodyOf({ resource, version, families, startedAtMs, clock }: MetricsExportOptions): Promise<unknown> {
  const times = { startTimeUnixNano: nano(startedAtMs), timeUnixNano: nano(clock.now()) };
  const metrics = (await families()).flatMap((family) => metricOf(family, times));
  return {
    resourceMetrics: [
      {
        resource: { attributes: attributesOf(resource) },
        scopeMetrics: [{ scope: { name: 'kubiya', version }, metrics }],
      },
    ],
  };
}

interface Times {
  readonly startTimeUnixNano: string;
  readonly timeUnixNano: string;
}

const cumulative = 2;

function metricOf({ name, help, type, values }: MetricFamily, times: Times): unknown[] {
  if (values.length === 0) return [];
  const common = { name, description: help };
  if (isKind(type, 'histogram')) {
    const dataPoints = histogramPoints(values, times);
    return [{ ...common, histogram: { aggregationTemporality: cumulative, dataPoints } }];
  }
  const dataPoints = values.map(({ labels, value }) => ({
    ...times,
    attributes: attributesOf(labels),
    asDouble: value,
  }));
  if (isKind(type, 'counter'))
    return [{ ...common, sum: { aggregationTemporality: cumulative, isMonotonic: true, dataPoints } }];
  return [{ ...common, gauge: { dataPoints } }];
}

/** The library types this as an enum and gives the word. */
const isKind = (type: unknown, word: 'histogram' | 'counter'): boolean => type === word;

type Value = MetricFamily['values'][number] & { readonly metricName?: string };

interface Point {
  readonly labels: Readonly<Record<string, AttributeValue>>;
  readonly bounds: number[];
  /** How many were at or below each bound, the last one without a bound. */
  readonly below: number[];
  sum: number;
}

/** Prometheus' buckets count all below a bound, OTLP's those between two. */
function histogramPoints(values: readonly Value[], times: Times): unknown[] {
  const points = new Map<string, Point>();
  for (const { labels, value, metricName = '' } of values) {
    const { le, ...own } = labels;
    const key = JSON.stringify(own);
    const point: Point = points.get(key) ?? { labels: own, bounds: [], below: [], sum: 0 };
    points.set(key, point);
    if (metricName.endsWith('_sum')) point.sum = value;
    if (le === undefined) continue;
    point.below.push(value);
    if (le !== '+Inf') point.bounds.push(Number(le));
  }
  return [...points.values()].map(({ labels, bounds, below, sum }) => ({
    ...times,
    attributes: attributesOf(labels),
    explicitBounds: bounds,
    bucketCounts: below.map((count, index) => String(count - (below[index - 1] ?? 0))),
    count: String(below.at(-1) ?? 0),
    sum,
  }));
}

const nano = (ms: number): string => String(BigInt(Math.round(ms)) * 1_000_000n);
