// A collector of OpenTelemetry over real HTTP: keeps what it was sent, checks its shape, and fails in the ways a test asks for.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import * as v from 'valibot';

/** `take` answers 200, `hang` never, `cut` destroys the connection; a status with its headers is answered as it is. */
export type CollectorMode =
  | { readonly type: 'take' | 'hang' | 'cut' }
  | { readonly type: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>> };

const digits = (count: number) => v.pipe(v.string(), v.regex(new RegExp(`^[0-9a-f]{${count}}$`)));
const nanoseconds = v.pipe(v.string(), v.regex(/^\d{19}$/));
const value = v.variant('type', [
  v.object({ type: v.literal('stringValue'), value: v.string() }),
  v.object({ type: v.literal('intValue'), value: v.pipe(v.string(), v.regex(/^-?\d+$/)) }),
  v.object({ type: v.literal('doubleValue'), value: v.number() }),
  v.object({ type: v.literal('boolValue'), value: v.boolean() }),
  v.object({
    type: v.literal('arrayValue'),
    value: v.strictObject({ values: v.array(v.record(v.string(), v.string())) }),
  }),
]);
/** An object with the one key that names its type. */
const anyValue = v.pipe(
  v.record(v.string(), v.unknown()),
  v.check((one) => Object.keys(one).length === 1),
  v.transform((one) => ({ type: Object.keys(one)[0], value: Object.values(one)[0] })),
  value,
);
const attributes = v.array(v.strictObject({ key: v.string(), value: anyValue }));
const resource = v.strictObject({ attributes });
const scope = v.strictObject({ name: v.string(), version: v.string() });
const spanSchema = v.strictObject({
  traceId: digits(32),
  spanId: digits(16),
  parentSpanId: v.optional(digits(16)),
  name: v.string(),
  kind: v.picklist([1, 2, 3, 4, 5]),
  startTimeUnixNano: nanoseconds,
  endTimeUnixNano: nanoseconds,
  attributes,
  status: v.strictObject({ code: v.optional(v.picklist([0, 1, 2])) }),
});
const tracesSchema = v.strictObject({
  resourceSpans: v.array(
    v.strictObject({ resource, scopeSpans: v.array(v.strictObject({ scope, spans: v.array(spanSchema) })) }),
  ),
});
const times = { startTimeUnixNano: nanoseconds, timeUnixNano: nanoseconds, attributes };
const numberPoints = v.pipe(v.array(v.strictObject({ ...times, asDouble: v.number() })), v.minLength(1));
const histogramPoint = v.pipe(
  v.strictObject({
    ...times,
    explicitBounds: v.array(v.number()),
    bucketCounts: v.array(v.pipe(v.string(), v.regex(/^\d+$/))),
    count: v.pipe(v.string(), v.regex(/^\d+$/)),
    sum: v.number(),
  }),
  v.check(
    ({ explicitBounds, bucketCounts, count }) =>
      bucketCounts.length === explicitBounds.length + 1 &&
      bucketCounts.reduce((all, one) => all + Number(one), 0) === Number(count),
  ),
);
const metricSchema = v.strictObject({
  name: v.string(),
  description: v.string(),
  gauge: v.optional(v.strictObject({ dataPoints: numberPoints })),
  sum: v.optional(
    v.strictObject({ aggregationTemporality: v.literal(2), isMonotonic: v.literal(true), dataPoints: numberPoints }),
  ),
  histogram: v.optional(v.strictObject({ aggregationTemporality: v.literal(2), dataPoints: v.array(histogramPoint) })),
});
const metricsSchema = v.strictObject({
  resourceMetrics: v.array(
    v.strictObject({ resource, scopeMetrics: v.array(v.strictObject({ scope, metrics: v.array(metricSchema) })) }),
  ),
});

export interface ReceivedSpan extends Omit<v.InferOutput<typeof spanSchema>, 'attributes'> {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
}

export interface OtlpCollector {
  readonly url: string;
  mode: CollectorMode;
  /** Of requests that were taken. */
  readonly spans: readonly ReceivedSpan[];
  /** Names of the metrics that were taken. */
  readonly metrics: readonly string[];
  readonly requests: readonly { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: string }[];
  /** Throws when anything came that is not OTLP. */
  stop(): Promise<void>;
}

export async function startOtlpCollector(): Promise<OtlpCollector> {
  const spans: ReceivedSpan[] = [];
  const metrics: string[] = [];
  const requests: { path: string; headers: IncomingHttpHeaders; body: string }[] = [];
  const faults: unknown[] = [];
  const take = (path: string, body: string): void => {
    if (path.endsWith('/v1/traces')) spans.push(...spansOf(v.parse(tracesSchema, JSON.parse(body))));
    else if (path.endsWith('/v1/metrics')) metrics.push(...metricsOf(v.parse(metricsSchema, JSON.parse(body))));
    else throw new Error(`there is no ${path}`);
  };
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      const { url: path = '', headers } = request;
      requests.push({ path, headers, body });
      if (collector.mode.type !== 'take') return fail(response, collector.mode);
      try {
        take(path, body);
      } catch (error) {
        faults.push(error);
      }
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const collector: OtlpCollector = {
    url: `http://127.0.0.1:${port}`,
    mode: { type: 'take' },
    spans,
    metrics,
    requests,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      if (faults.length > 0) throw new Error(`what came was not OTLP: ${String(faults[0])}`);
    },
  };
  return collector;
}

function fail(response: ServerResponse, mode: CollectorMode): void {
  if (mode.type === 'cut') response.destroy();
  else if (mode.type === 'status') response.writeHead(mode.status, { ...mode.headers }).end();
}

const plain = (list: v.InferOutput<typeof attributes>): Record<string, unknown> =>
  Object.fromEntries(
    list.map(({ key, value: { type, value: one } }) => [
      key,
      type === 'intValue'
        ? Number(one)
        : type === 'arrayValue'
          ? one.values.flatMap((item) => Object.values(item))
          : one,
    ]),
  );

function spansOf({ resourceSpans }: v.InferOutput<typeof tracesSchema>): ReceivedSpan[] {
  return resourceSpans.flatMap(({ resource: from, scopeSpans }) =>
    scopeSpans.flatMap((one) =>
      one.spans.map((span) => ({ ...span, attributes: plain(span.attributes), resource: plain(from.attributes) })),
    ),
  );
}

function metricsOf({ resourceMetrics }: v.InferOutput<typeof metricsSchema>): string[] {
  return resourceMetrics.flatMap(({ scopeMetrics }) =>
    scopeMetrics.flatMap((one) => one.metrics.map(({ name }) => name)),
  );
}
