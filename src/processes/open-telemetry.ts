// Traces and metrics for OpenTelemetry's collector, when the user named one; nothing is loaded otherwise.
import type { Config, OpenTelemetryConfig } from '../config/config.ts';
import { resolveModel } from '../gateway/providers.ts';
import { systemClock } from '../lib/clock.ts';
import { createFetch } from '../lib/network.ts';
import type { MetricFamily } from '../telemetry/metrics.ts';
import type { OtlpOptions } from '../telemetry/otlp.ts';
import type { Tracer } from '../telemetry/tracing.ts';
import { version } from '../version.ts';
import type { InstanceScope } from './instance-scope.ts';
import type { Teardown } from './teardown.ts';

export interface OpenTelemetryOptions {
  readonly config: Config;
  readonly scope: Pick<InstanceScope, 'log' | 'redactor' | 'instanceId'>;
  readonly queue: string;
}

/** What a stop waits for a collector; the next thing to end is the log. */
const stopLimitMs = 2_000;

/** The teardown sends what is left. */
export async function startTracing(options: OpenTelemetryOptions, teardown: Teardown): Promise<Tracer | undefined> {
  const { config } = options;
  const url = config.openTelemetry?.tracesUrl;
  if (config.openTelemetry === undefined || url === undefined) return undefined;
  const { createTracer } = await import('../telemetry/tracing.ts');
  const tracer = createTracer({
    ...exporterOf(options, config.openTelemetry, url),
    version,
    providerOf: (model) => providerOf(config, model),
  });
  teardown.add('traces', stopLimitMs + 500, () => tracer.stop(stopLimitMs));
  return tracer;
}

export async function startMetricsExport(
  options: OpenTelemetryOptions,
  families: () => Promise<readonly MetricFamily[]>,
  teardown: Teardown,
): Promise<void> {
  const { openTelemetry } = options.config;
  if (openTelemetry?.metricsUrl === undefined) return;
  const exporter = await import('../telemetry/otlp-metrics.ts');
  const common = exporterOf(options, openTelemetry, openTelemetry.metricsUrl);
  const running = exporter.startMetricsExport({ ...common, version, startedAtMs: systemClock.now(), families });
  teardown.add('exported metrics', stopLimitMs + 500, () => running.stop(stopLimitMs));
}

function exporterOf({ config, scope, queue }: OpenTelemetryOptions, to: OpenTelemetryConfig, url: string): OtlpOptions {
  const headers = to.headers.reveal();
  for (const value of Object.values(headers)) scope.redactor.register(value);
  return {
    url,
    headers,
    timeoutMs: to.timeoutMs,
    resource: {
      'service.version': version,
      'service.instance.id': scope.instanceId,
      'kubiya.queue.name': queue,
      ...to.resourceAttributes,
      'service.name': to.serviceName,
    },
    fetch: createFetch(config.network),
    clock: systemClock,
    log: scope.log.child('telemetry'),
  };
}

/** What registration brings is not known here; the model's own name then says whose it is. */
function providerOf(config: Config, model: string): string | undefined {
  try {
    return resolveModel(model, config.providers.reveal()).provider;
  } catch {
    // The user's own keys do not serve it: the control plane's gateway does.
    return 'litellm';
  }
}
