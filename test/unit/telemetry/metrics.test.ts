// The metrics' page under facts that a provider or a model made up, and the numbers of the log's line.
import { expect, test } from 'bun:test';
import { createMeter, type WorkFact } from '../../../src/telemetry/meter.ts';
import { createMetrics, type WorkerSample } from '../../../src/telemetry/metrics.ts';
import { createWorkNumbers, metricsLine } from '../../../src/telemetry/work-numbers.ts';
import { parseMetrics, valueOf } from '../../support/prometheus.ts';

const sample: WorkerSample = {
  status: {
    instance_id: 'i',
    pid: 1,
    version: '1',
    state: 'starting',
    state_since: '',
    queue: 'q',
    queue_id: '',
    worker_id: null,
    control_plane: null,
    temporal: null,
    heartbeat_age_ms: null,
    poll_age_ms: null,
    slots: { used: 0, max: 0 },
    executions: [],
    rss_bytes: 1,
    warnings: [],
    not_ready_reason: 'the worker is starting',
  },
  host: null,
  restarts: 3,
  heartbeats: { sent: 0, failed: 0 },
  backlog: null,
  events: { queued: 0, delivered: 0, droppedChunks: 0, refused: 0, failedAttempts: 0 },
  modelCallsRepaid: 0,
  controlPlaneBytes: { sent: 0, received: 0 },
  spans: null,
};
const build = { version: '1', queue: 'a "queue"\\ with\nlines' };
const usage = { inputTokens: 1, outputTokens: 2, cacheReadTokens: 0, cacheWriteTokens: 0 };
const origin = { executionId: 'e', agentName: 'a', startedAtMs: 0, durationMs: 1_500 };
const modelCalled = (changes: Partial<Extract<WorkFact, { type: 'model_called' }>> = {}): WorkFact => ({
  ...origin,
  type: 'model_called',
  callId: 'c',
  attempt: 1,
  model: 'm',
  outcome: 'success',
  usage,
  toolCalls: 0,
  ...changes,
});

async function pageAfter(facts: readonly WorkFact[], now = sample) {
  const metrics = createMetrics(build);
  try {
    for (const fact of facts) metrics.record(fact);
    return parseMetrics(await metrics.text(now));
  } finally {
    metrics.stop();
  }
}

test('what is not known yet is left out, what is 0 is said', async () => {
  const page = await pageAfter([]);
  for (const name of [
    'kubiya_control_plane_up',
    'kubiya_temporal_up',
    'kubiya_queue_backlog',
    'kubiya_heartbeat_age_seconds',
  ])
    expect([name, page.get(name)?.samples]).toEqual([name, []]);
  expect(valueOf(page, 'kubiya_worker_restarts_total')).toBe(3);
  expect(valueOf(page, 'kubiya_worker_ready')).toBe(0);
  expect(valueOf(page, 'kubiya_slots_used')).toBe(0);
  expect(page.get('kubiya_trace_spans_total')?.samples).toEqual([]);
});

test('a value that vanishes does not stay, and a counter that is read elsewhere is not added up', async () => {
  const metrics = createMetrics(build);
  const read = async (changes: Partial<WorkerSample>) => parseMetrics(await metrics.text({ ...sample, ...changes }));
  expect(valueOf(await read({ backlog: 7, modelCallsRepaid: 2 }), 'kubiya_queue_backlog')).toBe(7);
  const later = await read({ backlog: null, modelCallsRepaid: 2 });
  expect(later.get('kubiya_queue_backlog')?.samples).toEqual([]);
  expect(valueOf(later, 'kubiya_model_calls_repaid_total')).toBe(2);
  metrics.stop();
});

test('what Node hosts is counted with us', async () => {
  // The memory of both is that of the status.
  const status = { ...sample.status, rss_bytes: 101 };
  const page = await pageAfter([], { ...sample, status, host: { cpuMicroseconds: 5_000_000_000 } });
  expect(page.get('kubiya_build_info')?.samples[0]?.labels['runtime']).toBe('node');
  expect(valueOf(page, 'kubiya_process_resident_memory_bytes')).toBe(101);
  expect(valueOf(page, 'kubiya_process_cpu_seconds_total')).toBeGreaterThan(5_000);
});

test('labels of any text are escaped', async () => {
  const page = await pageAfter([modelCalled({ model: 'odd "model"\n\\' })]);
  expect(page.get('kubiya_build_info')?.samples[0]?.labels).toEqual({ ...build, runtime: 'bun' });
  expect(valueOf(page, 'kubiya_model_requests_total', { model: 'odd "model"\n\\' })).toBe(1);
});

test('numbers that a provider made up do not throw and do not count', async () => {
  const wrong = { inputTokens: -5, outputTokens: Number.NaN, cacheReadTokens: Infinity, cacheWriteTokens: 1.5 };
  const page = await pageAfter([modelCalled({ usage: wrong, costUsd: -1, durationMs: -3, firstDeltaMs: Number.NaN })]);
  const tokens = (type: string): number => valueOf(page, 'kubiya_model_tokens_total', { type });
  expect(['input', 'output', 'cache_read', 'cache_write'].map(tokens)).toEqual([0, 0, 0, 1.5]);
  expect(valueOf(page, 'kubiya_model_cost_usd_total')).toBe(0);
  expect(valueOf(page, 'kubiya_model_request_duration_seconds_sum')).toBe(0);
});

test('models and tools of ever new names do not grow the page without end', async () => {
  const facts = Array.from({ length: 150 }, (_one, index): WorkFact[] => [
    modelCalled({ model: `m${index}` }),
    { ...origin, type: 'tool_called', callId: 'c', tool: `t${index}`, isKnown: true, outcome: 'success' },
  ]).flat();
  const page = await pageAfter(facts);
  expect(page.get('kubiya_model_requests_total')?.samples).toHaveLength(101);
  expect(valueOf(page, 'kubiya_model_requests_total', { model: 'other' })).toBe(50);
  expect(valueOf(page, 'kubiya_tool_calls_total', { tool: 'other' })).toBe(50);
});

test('the meter counts and tells everybody else', () => {
  const told: WorkFact[] = [];
  const meter = createMeter([{ record: (fact) => void told.push(fact) }]);
  const ended = (outcome: 'completed' | 'failed' | 'cancelled'): WorkFact => ({
    ...origin,
    type: 'execution_ended',
    outcome,
    turns: 1,
    usage,
  });
  const facts = [
    modelCalled(),
    modelCalled({ outcome: 'timeout' }),
    ended('completed'),
    ended('failed'),
    ended('cancelled'),
  ];
  for (const fact of facts) meter.record(fact);
  expect(told).toEqual(facts);
  expect(meter.counters).toMatchObject({
    modelCalls: 2,
    executionsCompleted: 1,
    executionsFailed: 1,
    executionsCancelled: 1,
  });
  expect(meter.counters.executionMs).toBe(4_500);

  const numbers = createWorkNumbers();
  const facts2 = {
    counters: meter.counters,
    slots: { used: 1, max: 10 },
    heartbeats: { sent: 4, failed: 1 },
    eventsQueued: 2,
  };
  expect(metricsLine(numbers({ ...facts2, backlog: 3 }))).toMatch(
    /^Metrics: tasks_completed=1, tasks_failed=1, avg_duration=1\.5s, memory_mb=\d+, slots=1\/10, tasks_cancelled=1, model_calls=2, tool_calls=0, input_tokens=2, output_tokens=4, cpu_percent=\d+, heartbeats_ok=4, heartbeats_failed=1, event_queue=2, backlog=3$/,
  );
  expect(metricsLine(numbers({ ...facts2, backlog: null }))).not.toContain('backlog');
});
