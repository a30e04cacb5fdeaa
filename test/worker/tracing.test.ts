// Executions as OpenTelemetry sees them, and a collector that fails in every way without anybody noticing it in their work.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { createHome, type Home } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { type ScriptedServer, startScriptedOpenAi } from '../support/model-servers.ts';
import { type OtlpCollector, type ReceivedSpan, startOtlpCollector } from '../support/otlp-collector.ts';
import { runCommand } from '../support/run-binary.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';

let home: Home;
let server: LocalServer;
let models: ScriptedServer;
let collector: OtlpCollector;

beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home });
  models = await startScriptedOpenAi((request) => {
    const messages = JSON.stringify(request.body['messages']);
    if (messages.includes('refuse me')) return { type: 'status', status: 401, body: { error: { message: 'no' } } };
    if (messages.includes('"role":"tool"'))
      return { type: 'text', text: 'a private answer', usage: { input: 30, output: 7 } };
    return {
      type: 'calls',
      calls: [{ name: 'run_shell_command', arguments: { command: 'echo private output' } }],
      usage: { input: 20, output: 3, cacheRead: 8 },
    };
  });
}, 90_000);
beforeEach(async () => {
  await collector?.stop();
  collector = await startOtlpCollector();
});
afterAll(async () => {
  await collector.stop();
  await server.stop();
  await models.stop();
  await home.waitUntilEmpty(5_000);
  home.remove();
});

const modelVariables = (): Record<string, string> => ({
  OPENAI_BASE_URL: models.url,
  OPENAI_API_KEY: 'key-of-the-model',
  KUBIYA_MODEL: 'openai/gpt-5',
});
const startWorker = (environment: Record<string, string> = {}): Promise<WorkerProcess> =>
  startWorkerProcess({
    home,
    queue: 'traced',
    words: ['--no-webui'],
    environment: { ...modelVariables(), OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...environment },
  });
const run = async (prompt: string, metadata: Record<string, unknown> = {}): Promise<string> => {
  const body = { prompt, worker_queue_id: 'traced', user_metadata: metadata };
  const { execution_id: id } = (await server.request('POST', '/api/v1/agents/default/execute', body)) as {
    execution_id: string;
  };
  await server.ended(id, 20_000);
  return id;
};
const named = (name: string): ReceivedSpan[] => collector.spans.filter((span) => span.name === name);

describe('a collector that works', () => {
  test('gets one trace of an execution: the agent, its model calls, its tool calls', async () => {
    const worker = await startWorker({
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20collector-key, x-tenant=t1',
      OTEL_SERVICE_NAME: 'my-agents',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test,service.name=beaten',
    });
    const id = await run('a private prompt');
    await worker.process.end('SIGTERM');

    expect(collector.spans.map(({ name }) => name).toSorted()).toEqual([
      'chat openai/gpt-5',
      'chat openai/gpt-5',
      'execute_tool run_shell_command',
      'invoke_agent default',
    ]);
    const [agent] = named('invoke_agent default');
    const [tool] = named('execute_tool run_shell_command');
    const [first, second] = named('chat openai/gpt-5').toSorted((a, b) =>
      a.startTimeUnixNano < b.startTimeUnixNano ? -1 : 1,
    );
    expect(agent?.parentSpanId).toBeUndefined();
    for (const span of [tool, first, second]) {
      expect(span?.traceId).toBe(agent?.traceId ?? '');
      expect(span?.parentSpanId).toBe(agent?.spanId ?? '');
    }
    expect(new Set(collector.spans.map(({ spanId }) => spanId)).size).toBe(4);
    for (const span of collector.spans)
      expect(BigInt(span.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(span.startTimeUnixNano));
    expect(agent?.attributes).toMatchObject({
      'gen_ai.operation.name': 'invoke_agent',
      'gen_ai.agent.name': 'default',
      'gen_ai.conversation.id': id,
      'gen_ai.usage.input_tokens': 50,
      'gen_ai.usage.output_tokens': 10,
      'kubiya.execution.outcome': 'completed',
    });
    expect(first?.kind).toBe(3);
    expect(first?.attributes).toMatchObject({
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'openai',
      'gen_ai.request.model': 'openai/gpt-5',
      'gen_ai.response.model': 'gpt-5',
      'gen_ai.response.finish_reasons': ['tool_calls'],
      'gen_ai.usage.input_tokens': 20,
      'gen_ai.usage.output_tokens': 3,
    });
    expect(tool?.attributes).toMatchObject({
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': 'run_shell_command',
    });
    expect(agent?.resource).toMatchObject({
      'service.name': 'my-agents',
      'deployment.environment.name': 'test',
      'kubiya.queue.name': 'traced',
    });
    for (const { headers } of collector.requests)
      expect(headers).toMatchObject({
        authorization: 'Bearer collector-key',
        'x-tenant': 't1',
        'content-type': 'application/json',
      });
    const sent = collector.requests.map(({ body }) => body).join('');
    expect(['private', 'key-of-the-model', 'collector-key'].filter((word) => sent.includes(word))).toEqual([]);
    expect(worker.process.output()).not.toContain('collector-key');
    // The numbers come with the end at the latest.
    expect(collector.metrics).toContain('kubiya_executions_total');
    expect(collector.metrics).toContain('kubiya_execution_duration_seconds');
    expect(collector.metrics).toContain('kubiya_process_resident_memory_bytes');
  }, 30_000);

  test('sees errors by their kind', async () => {
    const worker = await startWorker({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/own/v1/traces` });
    await run('refuse me');
    await worker.process.end('SIGTERM');
    const [chat] = named('chat openai/gpt-5');
    expect(chat?.status.code).toBe(2);
    expect(chat?.attributes['error.type']).toBe('authentication');
    const [agent] = named('invoke_agent default');
    expect(agent?.status.code).toBe(2);
    expect(agent?.attributes).toMatchObject({ 'kubiya.execution.outcome': 'failed' });
    expect(collector.requests.filter(({ path }) => path.endsWith('traces')).map(({ path }) => path)).toEqual([
      '/own/v1/traces',
    ]);
  }, 30_000);

  test('joins the trace of the caller, and leaves out one that is not sampled', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const worker = await startWorker();
    const id = await run('join', { traceparent: `00-${traceId}-00f067aa0ba902b7-01` });
    await run('do not', { traceparent: `00-${traceId.replace('4', '5')}-00f067aa0ba902b7-00` });
    await run('nonsense', { traceparent: `00-${'0'.repeat(32)}-zz-01` });
    await worker.process.end('SIGTERM');
    const joined = collector.spans.filter((span) => span.traceId === traceId);
    expect(joined).toHaveLength(4);
    expect(joined.find(({ name }) => name.startsWith('invoke_agent'))?.parentSpanId).toBe('00f067aa0ba902b7');
    expect(new Set(joined.map((span) => span.attributes['gen_ai.conversation.id']))).toEqual(new Set([id]));
    expect(collector.spans).toHaveLength(8);
  }, 30_000);

  test('gets the spans of exec --local too, in the trace that it was started in', async () => {
    const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const environment = { ...modelVariables(), OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, TRACEPARENT };
    const result = await runCommand(['exec', '--local', '--yes', 'trace this'], { home, environment });
    expect(result.code).toBe(0);
    expect(named('invoke_agent default').map(({ parentSpanId }) => parentSpanId)).toEqual(['00f067aa0ba902b7']);
    expect(collector.spans).toHaveLength(4);
  }, 30_000);
});

describe('a collector that does not work', () => {
  test.each([
    ['hangs', { type: 'hang' }],
    ['cuts the connection', { type: 'cut' }],
    ['refuses', { type: 'status', status: 400 }],
    ['redirects', { type: 'status', status: 307, headers: { location: 'http://127.0.0.1:1/' } }],
    ['is overloaded', { type: 'status', status: 503, headers: { 'retry-after': '3600' } }],
  ] as const)(
    '%s: work goes on, the stop is bounded, and the loss is said once',
    async (_name, mode) => {
      collector.mode = mode;
      const worker = await startWorker({ OTEL_EXPORTER_OTLP_TIMEOUT: '1000' });
      const id = await run('carry on');
      expect((await server.execution(id)).status).toBe('completed');
      const startedMs = Date.now();
      await worker.process.end('SIGTERM');
      expect(Date.now() - startedMs).toBeLessThan(8_000);
      const said = worker.process
        .output()
        .split('\n')
        .filter((line) => line.includes('Not everything reached'));
      expect(said).toHaveLength(1);
      expect(JSON.parse(said[0] ?? '{}')).toMatchObject({ level: 40, exported: 0, dropped: 4 });
      expect(worker.process.output().match(/collector does not take what is sent/g)).toHaveLength(1);
    },
    30_000,
  );

  test('is nobody: refused connections are no different', async () => {
    const worker = await startWorker({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' });
    expect((await server.execution(await run('carry on'))).status).toBe('completed');
    await worker.process.end('SIGTERM');
    expect(worker.process.output()).toContain('Not everything reached');
  }, 30_000);

  test('comes back: what waited arrives, once', async () => {
    collector.mode = { type: 'status', status: 503, headers: { 'retry-after': '1' } };
    const worker = await startWorker();
    await run('wait for it');
    await until(() => collector.requests.length > 0, { limitMs: 10_000 });
    collector.mode = { type: 'take' };
    await until(() => collector.spans.length === 4, { limitMs: 10_000 });
    await worker.process.waitFor(/takes what is sent again/);
    await worker.process.end('SIGTERM');
    expect(collector.spans).toHaveLength(4);
    expect(worker.process.output()).not.toContain('Not everything reached');
  }, 30_000);
});

test('headers that are no headers stop the start, and are not shown', async () => {
  const environment = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: 'secret-without-a-name',
  };
  const result = await runCommand(['worker', 'start', '--queue-id', 'traced'], { home, environment });
  expect(result.code).toBe(6);
  expect(result.stderr).toContain('OTEL_EXPORTER_OTLP_HEADERS must be key=value,key=value');
  expect(result.stderr).not.toContain('secret-without-a-name');
});
