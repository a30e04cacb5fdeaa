// The reporter of what executions use, against a control plane that takes it, refuses it, is away or hangs.
import { afterEach, expect, test } from 'bun:test';
import { createAnalyticsReporter, type AnalyticsReporter } from '../../../src/controlplane/analytics.ts';
import { createControlPlaneClient } from '../../../src/controlplane/client.ts';
import { noUsage } from '../../../src/protocol/model.ts';
import type { WorkFact } from '../../../src/telemetry/meter.ts';
import { quietLog } from '../../server/support.ts';
import { until } from '../../support/until.ts';

interface Batch {
  readonly execution_id: string;
  readonly turns: readonly Record<string, unknown>[];
  readonly tool_calls: readonly Record<string, unknown>[];
}

const servers: { stop(force: boolean): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop(true)));
});

/** `answer` gets the number of the request; what it gives is the status. */
function start(answer: (request: number) => number | Promise<number>): {
  batches: Batch[];
  reporter: AnalyticsReporter;
} {
  const batches: Batch[] = [];
  const server = Bun.serve({
    port: 0,
    fetch: async (request) => {
      batches.push((await request.json()) as Batch);
      const status = await answer(batches.length);
      const body = status < 300 ? { turns_created: 1 } : { detail: 'no' };
      return Response.json(body, { status });
    },
  });
  servers.push(server);
  const client = createControlPlaneClient({ url: `http://127.0.0.1:${server.port}`, token: 't' });
  const send = (batch: Parameters<typeof client.publishAnalytics>[0], signal: AbortSignal) =>
    client.publishAnalytics(batch, { signal, attemptsMax: 1 });
  return { batches, reporter: createAnalyticsReporter({ send, log: quietLog }) };
}

const origin = { agentName: 'a', startedAtMs: Date.parse('2026-01-02T03:04:05Z'), durationMs: 1_500 };
const turn = (executionId: string, number: number, changes: Partial<WorkFact> = {}): WorkFact =>
  ({
    ...origin,
    type: 'model_called',
    executionId,
    callId: `${executionId}:${number}:model`,
    attempt: 1,
    model: 'openai/gpt-5',
    outcome: 'success',
    usage: { ...noUsage, inputTokens: 100, outputTokens: 20, cacheReadTokens: 40 },
    toolCalls: 2,
    finishReason: 'tool_calls',
    chargedUsd: 0.25,
    ...changes,
  }) as WorkFact;
const toolCall = (executionId: string, outcome: 'success' | 'failed' = 'success'): WorkFact => ({
  ...origin,
  type: 'tool_called',
  executionId,
  callId: `${executionId}:1:0`,
  tool: 'run_shell_command',
  isKnown: true,
  outcome,
});

test('facts become the records of the protocol, a batch an execution', async () => {
  const { batches, reporter } = start(() => 201);
  reporter.record(turn('one', 1));
  reporter.record(toolCall('one', 'failed'));
  reporter.record(turn('two', 3));
  // An attempt without an answer used nothing, and an end is no use.
  reporter.record(turn('one', 2, { outcome: 'rate_limited' }));
  await reporter.stop(2_000);
  expect(batches.map(({ execution_id: id }) => id)).toEqual(['one', 'two']);
  expect(batches[0]?.turns).toEqual([
    {
      started_at: '2026-01-02T03:04:05.000Z',
      completed_at: '2026-01-02T03:04:06.500Z',
      duration_ms: 1_500,
      turn_id: 'one:1:model',
      turn_number: 1,
      model: 'openai/gpt-5',
      model_provider: 'openai',
      input_tokens: 100,
      output_tokens: 20,
      cache_read_tokens: 40,
      cache_creation_tokens: 0,
      total_tokens: 120,
      total_cost: 0.25,
      finish_reason: 'tool_calls',
      tools_called_count: 2,
    },
  ]);
  expect(batches[0]?.tool_calls).toMatchObject([
    { tool_name: 'run_shell_command', tool_use_id: 'one:1:0', turn_id: 'one:1:model', success: false },
  ]);
  expect(batches[1]?.turns).toMatchObject([{ turn_number: 3 }]);
  expect(reporter.counters).toEqual({ delivered: 3, dropped: 0, waiting: 0 });
});

test('what passes is tried again, what was refused is left out', async () => {
  const { batches, reporter } = start((request) => (request === 1 ? 503 : request === 2 ? 422 : 201));
  reporter.record(turn('refused', 1));
  await until(() => reporter.counters.dropped === 1, { limitMs: 8_000, what: () => 'the refused one is left out' });
  reporter.record(turn('taken', 1));
  await reporter.stop(2_000);
  expect(batches.map(({ execution_id: id }) => id)).toEqual(['refused', 'refused', 'taken']);
  expect(reporter.counters).toEqual({ delivered: 1, dropped: 1, waiting: 0 });
});

test('a control plane without the route is left alone', async () => {
  const { batches, reporter } = start(() => 404);
  for (const id of ['a', 'b', 'c', 'd', 'e']) reporter.record(turn(id, 1));
  await until(() => batches.length === 3, { limitMs: 5_000, what: () => `3 requests, not ${batches.length}` });
  reporter.record(turn('f', 1));
  await reporter.stop(500);
  expect(batches).toHaveLength(3);
});

test('one that hangs holds nobody up, and the oldest of too many are dropped', async () => {
  const { reporter } = start(() => new Promise(() => undefined));
  const startedAt = performance.now();
  for (let number = 1; number <= 5_010; number += 1) reporter.record(turn('x', number));
  expect(performance.now() - startedAt).toBeLessThan(1_000);
  expect(reporter.counters).toEqual({ delivered: 0, dropped: 10, waiting: 5_000 });
  await reporter.stop(200);
  expect(performance.now() - startedAt).toBeLessThan(3_000);
});

test('a stop while the control plane is away is quick, and sends what waits once it is back', async () => {
  let status = 503;
  const { batches, reporter } = start(() => status);
  reporter.record(turn('x', 1));
  await until(() => batches.length >= 2, { limitMs: 8_000, what: () => 'a second attempt' });
  const startedAt = performance.now();
  status = 201;
  await reporter.stop(2_000);
  expect(reporter.counters).toEqual({ delivered: 1, dropped: 0, waiting: 0 });
  const other = start(() => 503);
  other.reporter.record(turn('y', 1));
  await other.reporter.stop(5_000);
  expect(other.reporter.counters.waiting).toBe(1);
  expect(performance.now() - startedAt).toBeLessThan(1_500);
});
