// The worker's numbers after work that went well and work that did not: on its page, in its log, in its heartbeats.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ScriptedServer, startScriptedOpenAi } from '../support/model-servers.ts';
import { type Family, parseMetrics, valueOf } from '../support/prometheus.ts';
import { portsOf, type WorkerPorts } from '../support/worker-ports.ts';
import { type Lab, queueName, startLab } from './lab.ts';

/** What a dashboard is made of. A name that vanishes breaks somebody's alert. */
const alwaysThere = [
  'kubiya_build_info',
  'kubiya_control_plane_bytes_total',
  'kubiya_control_plane_up',
  'kubiya_event_delivery_failures_total',
  'kubiya_event_loop_lag_seconds',
  'kubiya_event_queue_depth',
  'kubiya_events_delivered_total',
  'kubiya_events_dropped_total',
  'kubiya_executions_active',
  'kubiya_executions_total',
  'kubiya_heartbeat_age_seconds',
  'kubiya_heartbeats_total',
  'kubiya_model_bytes_total',
  'kubiya_model_calls_repaid_total',
  'kubiya_process_cpu_seconds_total',
  'kubiya_process_open_fds',
  'kubiya_process_resident_memory_bytes',
  'kubiya_queue_backlog',
  'kubiya_slots_max',
  'kubiya_slots_used',
  'kubiya_temporal_poll_age_seconds',
  'kubiya_temporal_up',
  'kubiya_turns_total',
  'kubiya_uptime_seconds',
  'kubiya_worker_ready',
  'kubiya_worker_restarts_total',
  'kubiya_worker_state',
  'temporal_long_request_total',
  'temporal_num_pollers',
  'temporal_worker_task_slots_available',
];
const thereAfterWork = [
  'kubiya_execution_duration_seconds',
  'kubiya_model_cost_usd_total',
  'kubiya_model_first_token_seconds',
  'kubiya_model_request_duration_seconds',
  'kubiya_model_requests_total',
  'kubiya_model_requests_unpriced_total',
  'kubiya_model_tokens_total',
  'kubiya_tool_call_duration_seconds',
  'kubiya_tool_calls_total',
];

let models: ScriptedServer;
let lab: Lab;
let ports: WorkerPorts;
const executions: string[] = [];
const model = 'gpt-5';

beforeAll(async () => {
  models = await startScriptedOpenAi([
    {
      type: 'calls',
      calls: [{ name: 'run_shell_command', arguments: { command: 'echo printed-in-private' } }],
      usage: { input: 100, output: 20, cacheRead: 40, costUsd: 0.25 },
    },
    { type: 'text', text: 'done', usage: { input: 150, output: 5 } },
    { type: 'calls', calls: [{ name: 'invented_by_the_model', arguments: '{}' }] },
    { type: 'text', text: 'never mind' },
    { type: 'status', status: 401, body: { error: { message: 'wrong key' } } },
  ]);
  lab = await startLab({
    METRICS_ENABLED: 'true',
    METRICS_PORT: '0',
    KUBIYA_METRICS_HOST: '127.0.0.1',
    OPENAI_BASE_URL: models.url,
    OPENAI_API_KEY: 'not-to-be-seen',
    KUBIYA_MODEL: model,
  });
  ports = await portsOf(lab.worker.process);
}, 90_000);
afterAll(async () => {
  await lab.stop();
  await models.stop();
});

const page = async (base = ports.web): Promise<string> => (await fetch(`${base}/metrics`)).text();
const look = async (): Promise<ReadonlyMap<string, Family>> => parseMetrics(await page());
const missing = (families: ReadonlyMap<string, Family>, names: readonly string[]): readonly string[] =>
  names.filter((name) => (families.get(name)?.samples.length ?? 0) === 0);
const run = async (prompt: string): Promise<string> => {
  const id = await lab.server.execute(prompt, queueName);
  executions.push(id);
  return (await lab.server.ended(id, 20_000)).status;
};

describe('a worker that has done nothing yet', () => {
  test('has every number that needs no work, at its zero', async () => {
    const families = await look();
    expect(missing(families, alwaysThere)).toEqual([]);
    for (const outcome of ['completed', 'failed', 'cancelled'])
      expect(valueOf(families, 'kubiya_executions_total', { outcome })).toBe(0);
    expect(valueOf(families, 'kubiya_worker_ready')).toBe(1);
    expect(valueOf(families, 'kubiya_worker_state', { state: 'running' })).toBe(1);
    expect(valueOf(families, 'kubiya_control_plane_up')).toBe(1);
    expect(valueOf(families, 'kubiya_temporal_up')).toBe(1);
    expect(valueOf(families, 'kubiya_heartbeats_total', { outcome: 'ok' })).toBeGreaterThan(0);
    expect(valueOf(families, 'kubiya_process_resident_memory_bytes')).toBeGreaterThan(50_000_000);
  });

  test('METRICS_PORT serves the same page and the probes, and nothing else', async () => {
    expect([...parseMetrics(await page(ports.metrics)).keys()]).toEqual([...(await look()).keys()]);
    const status = async (path: string): Promise<number> => (await fetch(`${ports.metrics}${path}`)).status;
    expect(await Promise.all(['/livez', '/readyz', '/', '/v1/status', '/v1/stop', '/api'].map(status))).toEqual([
      200, 200, 404, 404, 404, 404,
    ]);
  });

  test('both ports are in its record', () => {
    const record = readFileSync(join(lab.worker.directory, 'daemon_info.json'), 'utf8');
    const { ports: written, web_url } = JSON.parse(record) as { ports: Record<string, number>; web_url: string };
    expect(written).toEqual({ web: Number(new URL(ports.web).port), metrics: Number(new URL(ports.metrics).port) });
    expect(web_url).toBe(ports.web);
  });
});

describe('after work', () => {
  test('an execution that succeeds moves its numbers', async () => {
    const before = await look();
    expect(await run('a-private-prompt')).toBe('completed');
    const after = await look();
    expect(valueOf(after, 'kubiya_executions_total', { outcome: 'completed' })).toBe(1);
    expect(valueOf(after, 'kubiya_execution_duration_seconds_count', { outcome: 'completed' })).toBe(1);
    expect(valueOf(after, 'kubiya_execution_duration_seconds_sum', { outcome: 'completed' })).toBeGreaterThan(0);
    expect(valueOf(after, 'kubiya_turns_total')).toBe(2);
    expect(valueOf(after, 'kubiya_tool_calls_total', { tool: 'run_shell_command', outcome: 'success' })).toBe(1);
    expect(valueOf(after, 'kubiya_tool_call_duration_seconds_count', { tool: 'run_shell_command' })).toBe(1);
    expect(valueOf(after, 'kubiya_model_requests_total', { model, outcome: 'success' })).toBe(2);
    expect(valueOf(after, 'kubiya_model_request_duration_seconds_count', { model })).toBe(2);
    expect(valueOf(after, 'kubiya_model_first_token_seconds_count', { model })).toBe(1); // a call has no words
    const tokens = (type: string): number => valueOf(after, 'kubiya_model_tokens_total', { model, type });
    expect(['input', 'output', 'cache_read', 'cache_write'].map(tokens)).toEqual([250, 25, 40, 0]);
    expect(valueOf(after, 'kubiya_model_cost_usd_total', { model })).toBe(0.25);
    expect(valueOf(after, 'kubiya_model_requests_unpriced_total', { model })).toBe(1);
    const grown = (name: string, labels: Record<string, string> = {}): void =>
      expect(valueOf(after, name, labels)).toBeGreaterThan(valueOf(before, name, labels));
    for (const direction of ['sent', 'received']) {
      grown('kubiya_model_bytes_total', { direction });
      grown('kubiya_control_plane_bytes_total', { direction });
    }
    grown('kubiya_events_delivered_total');
    grown('kubiya_process_cpu_seconds_total');
    expect(missing(after, [...alwaysThere, ...thereAfterWork])).toEqual([]);
  });

  test('a tool that the model invented is counted, and its name is not shown', async () => {
    expect(await run('invent')).toBe('completed');
    expect(valueOf(await look(), 'kubiya_tool_calls_total', { tool: 'unknown', outcome: 'failed' })).toBe(1);
    expect((await page()).includes('invented_by_the_model')).toBe(false);
  });

  test('an execution that fails moves the others', async () => {
    expect(await run('fail')).toBe('failed');
    const after = await look();
    expect(valueOf(after, 'kubiya_executions_total', { outcome: 'failed' })).toBe(1);
    expect(valueOf(after, 'kubiya_executions_total', { outcome: 'completed' })).toBe(2);
    expect(valueOf(after, 'kubiya_model_requests_total', { model, outcome: 'authentication' })).toBe(1);
  });

  test('no execution, no prompt and no secret is on the page', async () => {
    const text = await page();
    const words = [...executions, lab.server.token, 'not-to-be-seen', 'a-private-prompt', 'printed-in-private'];
    expect(words.filter((word) => text.includes(word))).toEqual([]);
  });

  test('the same page twice in a row has the same series', async () => {
    const names = (text: string): readonly string[] =>
      text.split('\n').map((line) => (line.startsWith('#') ? line : line.replace(/ \S+$/, '')));
    expect(names(await page())).toEqual(names(await page()));
  });
});

test('a heartbeat carries the numbers, and the last words of the log are those', async () => {
  const queues = (await lab.server.request('GET', '/api/v1/worker-queues')) as { id: string; name: string }[];
  const { id } = queues.find(({ name }) => name === queueName) ?? { id: '' };
  const workers = (await lab.server.request('GET', `/api/v1/worker-queues/${id}/workers`)) as {
    worker_metadata?: Record<string, unknown>;
  }[];
  expect(workers[0]?.worker_metadata).toMatchObject({
    tasks_completed: 0,
    tasks_failed: 0,
    slots_max: 10,
    event_queue: 0,
  });
  await lab.worker.process.end('SIGTERM');
  const line = /"msg":"(Metrics: [^"]*)"/.exec(lab.worker.process.output())?.[1];
  expect(line).toMatch(
    /^Metrics: tasks_completed=2, tasks_failed=1, avg_duration=\d+\.\ds, memory_mb=\d+, slots=0\/10, /,
  );
  expect(line).toMatch(
    /model_calls=5, tool_calls=2, input_tokens=270, output_tokens=35, cpu_percent=\d+, heartbeats_ok=\d+/,
  );
});
