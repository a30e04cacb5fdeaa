// The standard variables of OpenTelemetry's exporters, as far as traces and metrics over OTLP/HTTP go.
import type { OpenTelemetryConfig } from './config.ts';
import type { Merged } from './load.ts';
import { options } from './options.ts';
import { createSecret } from './secret.ts';

/** Undefined without an endpoint: nothing is exported, nothing is loaded. */
export function openTelemetryOf(merged: Merged): OpenTelemetryConfig | undefined {
  const base = merged.read('otelEndpoint');
  const tracesUrl = merged.read('otelTracesEndpoint') ?? below(base, 'traces');
  const metricsUrl = merged.read('otelMetricsEndpoint') ?? below(base, 'metrics');
  const headers = pairsOf(merged, 'otelHeaders');
  const { 'service.name': namedService, ...attributes } = pairsOf(merged, 'otelResourceAttributes');
  if (tracesUrl === undefined && metricsUrl === undefined) return undefined;
  return {
    tracesUrl,
    metricsUrl,
    headers: createSecret(headers),
    serviceName: merged.read('otelServiceName') ?? namedService ?? 'kubiya-worker',
    resourceAttributes: attributes,
    timeoutMs: merged.read('otelTimeout') ?? options.otelTimeout.default,
  };
}

function below(base: string | undefined, signal: 'traces' | 'metrics'): string | undefined {
  if (base === undefined) return undefined;
  const url = new URL(base);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/${signal}`;
  return url.href;
}

/** `key=value,key=value`, both percent-encoded (W3C Baggage). A header takes no blank in its name and no line break in its value. */
function pairsOf(merged: Merged, name: 'otelHeaders' | 'otelResourceAttributes'): Record<string, string> {
  const pairs: Record<string, string> = {};
  const text = merged.read(name) ?? '';
  for (const part of text.split(',').filter((one) => one.trim() !== '')) {
    const parsed = parsePair(part.trim());
    const isFit = parsed !== undefined && (name !== 'otelHeaders' || /^[\w!#$%&'*+.^`|~-]+$/.test(parsed.key));
    if (isFit) {
      pairs[parsed.key] = parsed.value;
      continue;
    }
    const variable = options[name].environment[0];
    // What is wrong is not shown: it may be a key.
    merged.problems.push({ origin: merged.origin(name), message: `${variable} must be key=value,key=value` });
    return {};
  }
  return pairs;
}

function parsePair(text: string): { key: string; value: string } | undefined {
  const [, key, value] = /^([^=]+?)\s*=\s*(.*)$/.exec(text) ?? [];
  if (key === undefined || value === undefined) return undefined;
  try {
    const pair = { key: decodeURIComponent(key), value: decodeURIComponent(value) };
    // A control character would end the header.
    return /\p{Cc}/u.test(pair.key + pair.value) ? undefined : pair;
  } catch {
    return undefined; // a lone percent sign
  }
}
