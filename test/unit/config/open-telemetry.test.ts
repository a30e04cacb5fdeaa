// The standard variables of OpenTelemetry: which URL is meant, and what headers may be.
import { expect, test } from 'bun:test';
import { loadConfig } from '../../../src/config/load.ts';

const load = async (environment: Record<string, string>) => {
  const facts = { environment, userHome: '/nowhere', cwd: '/nowhere', hostname: 'h', pid: 2 };
  return (await loadConfig({ scope: 'worker', flags: {}, facts })).openTelemetry;
};
const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/' };

test('nothing is exported without an endpoint, whatever else is set', async () => {
  expect(await load({ OTEL_SERVICE_NAME: 's', OTEL_EXPORTER_OTLP_HEADERS: 'a=b' })).toBeUndefined();
});

test('the endpoint is a base, those of the signals are whole', async () => {
  expect(await load(endpoint)).toMatchObject({
    tracesUrl: 'http://collector:4318/v1/traces',
    metricsUrl: 'http://collector:4318/v1/metrics',
    serviceName: 'kubiya-worker',
    timeoutMs: 10_000,
  });
  expect(await load({ ...endpoint, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://other/t' })).toMatchObject({
    tracesUrl: 'https://other/t',
    metricsUrl: 'http://collector:4318/v1/metrics',
  });
  const queried = await load({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/in/?key=k' });
  expect(queried?.tracesUrl).toBe('http://collector:4318/in/v1/traces?key=k');
  const one = await load({ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'https://other/m' });
  expect([one?.tracesUrl, one?.metricsUrl]).toEqual([undefined, 'https://other/m']);
});

test('headers and attributes are decoded, and the name of the service has an order', async () => {
  const config = await load({
    ...endpoint,
    OTEL_EXPORTER_OTLP_HEADERS: ' authorization = Bearer%20x=y , ,x-b=',
    OTEL_RESOURCE_ATTRIBUTES: 'service.name=from-attributes,team=caf%C3%A9',
  });
  expect(config?.headers.reveal()).toEqual({ authorization: 'Bearer x=y', 'x-b': '' });
  expect(config?.resourceAttributes).toEqual({ team: 'café' });
  expect(config?.serviceName).toBe('from-attributes');
  const named = await load({ ...endpoint, OTEL_SERVICE_NAME: 'own', OTEL_RESOURCE_ATTRIBUTES: 'service.name=other' });
  expect(named?.serviceName).toBe('own');
});

test.each(['novalue', '=hidden', 'a b=c', 'a=%0d%0ax: y', 'hidden=%', 'ä=b', '%00=b'])(
  'the headers %p are refused and not shown',
  async (text) => {
    const refused = load({ ...endpoint, OTEL_EXPORTER_OTLP_HEADERS: `secret=1,${text}` });
    const error: unknown = await refused.catch((problem: unknown) => problem);
    expect(String(error)).toContain('OTEL_EXPORTER_OTLP_HEADERS must be key=value,key=value');
    expect(String(error)).not.toContain(text);
  },
);

test('a timeout and a URL that are none are refused', async () => {
  for (const wrong of [{ OTEL_EXPORTER_OTLP_TIMEOUT: '0' }, { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'collector:4317' }])
    expect(String(await load({ ...endpoint, ...wrong }).catch((error: unknown) => error))).toContain(
      Object.keys(wrong)[0] ?? '',
    );
});
