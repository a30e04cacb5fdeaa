// What executions used: reported once however often it is sent, bounded, summed up, and gone with its execution.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { analyticsSummarySchema } from '../../src/protocol/analytics.ts';
import type { DevServer } from '../../src/server/dev-server.ts';
import type { ControlPlane } from '../../src/server/start.ts';
import { callerOf, createTestClock, startTestServer, startTestTemporal, waitFor, type Call } from './support.ts';

const clock = createTestClock();
let devServer: DevServer;
let server: ControlPlane;
let call: Call;

beforeAll(async () => {
  devServer = await startTestTemporal();
  server = await startTestServer(devServer.address, { clock });
  call = callerOf(server.url);
}, 60_000);
afterAll(async () => {
  await server.stop();
  await devServer.stop();
}, 60_000);

const execute = async (agent = 'default'): Promise<string> => {
  const { body } = await call('POST', `/api/v1/agents/${agent}/execute`, { prompt: 'hello' });
  return String(body['execution_id']);
};
const summary = async (query: string) =>
  v.parse(analyticsSummarySchema, (await call('GET', `/api/v1/analytics/summary?${query}`)).body);
const startedAt = '2026-01-02T03:04:05Z';
const turn = (number: number, more: Record<string, unknown> = {}) => ({
  turn_number: number,
  turn_id: `turn-${number}`,
  model: 'openai/gpt-5',
  started_at: startedAt,
  input_tokens: 100,
  output_tokens: 20,
  total_tokens: 120,
  total_cost: 0.5,
  duration_ms: 1_000,
  ...more,
});
const toolCall = (id: string, success = true) => ({
  tool_use_id: id,
  tool_name: 'run_shell_command',
  started_at: startedAt,
  duration_ms: 50,
  success,
});

const deep: unknown = JSON.parse(`${'['.repeat(1_100)}${']'.repeat(1_100)}`);

test('a batch is summed up, and sending it again changes nothing', async () => {
  const id = await execute();
  const batch = {
    execution_id: id,
    turns: [turn(1), turn(2, { model: 'anthropic/claude', total_cost: 2 })],
    tool_calls: [toolCall('a'), toolCall('b', false)],
    tasks: [{ task_description: 'tidy up', task_id: 't' }],
  };
  const sent = await call('POST', '/api/v1/analytics/batch', batch);
  expect(sent).toEqual({ status: 201, body: { turns_created: 2, tool_calls_created: 2, tasks_created: 1 } });
  const again = await call('POST', '/api/v1/analytics/batch', batch);
  expect(again).toEqual({ status: 201, body: { turns_created: 0, tool_calls_created: 0, tasks_created: 0 } });
  const zero = { cache_read_tokens: 0, cache_creation_tokens: 0 };
  const tokens = { turns: 1, input_tokens: 100, output_tokens: 20, total_tokens: 120, duration_ms: 1_000, ...zero };
  expect(await summary(`execution_id=${id}`)).toEqual({
    executions: 1,
    turns: 2,
    tool_calls: 2,
    tasks: 1,
    total_tokens: 240,
    cost_usd: 2.5,
    models: [
      { model: 'anthropic/claude', ...tokens, cost_usd: 2 },
      { model: 'openai/gpt-5', ...tokens, cost_usd: 0.5 },
    ],
    tools: [{ tool_name: 'run_shell_command', calls: 2, failures: 1, duration_ms: 100 }],
  });
});

test('single records as old workers send them; a member reports to its team', async () => {
  const id = await execute();
  const record = { execution_id: `${id}/member/1`, ...turn(1) };
  expect(await call('POST', '/api/v1/analytics/turns', record)).toEqual({
    status: 201,
    body: { success: true, id: 'turn-1' },
  });
  await call('POST', '/api/v1/analytics/turns', record);
  const { tool_use_id: _id, ...nameless } = toolCall('x');
  for (const _time of [1, 2]) {
    expect((await call('POST', '/api/v1/analytics/tool-calls', { execution_id: id, ...nameless })).status).toBe(201);
  }
  await call('POST', '/api/v1/analytics/tasks', { execution_id: id, task_description: 'x' });
  // Without an id nothing tells a repetition.
  expect(await summary(`execution_id=${id}`)).toMatchObject({ turns: 1, tool_calls: 2, tasks: 1 });
});

test('sums of an agent and since a time', async () => {
  await call('POST', '/api/v1/agents', { name: 'measured' });
  for (const _time of [1, 2]) {
    const id = await execute('measured');
    await call('POST', '/api/v1/analytics/batch', { execution_id: id, turns: [turn(1)] });
    clock.advance(3_600_000);
  }
  expect(await summary('agent_id=measured')).toMatchObject({ executions: 2, turns: 2, cost_usd: 1 });
  const since = new Date(clock.now() - 5_400_000).toISOString();
  expect(await summary(`agent_id=measured&since=${since}`)).toMatchObject({ executions: 1, cost_usd: 0.5 });
  expect(await summary('agent_id=default&since=2999-01-01T00:00:00Z')).toMatchObject({ executions: 0, models: [] });
});

test('texts are cut, and what is kept is gone with its execution', async () => {
  const id = await execute();
  const large = { ...toolCall('large'), tool_output: 'x'.repeat(100_000), tool_input: { text: 'y'.repeat(100_000) } };
  const batch = { execution_id: id, tool_calls: [large], turns: [turn(1)] };
  expect((await call('POST', '/api/v1/analytics/batch', batch)).status).toBe(201);
  await call('PATCH', `/api/v1/executions/${id}`, { status: 'completed' });
  // Reports that come after the end are taken: the outbox of a killed worker is read by the next one.
  await call('POST', '/api/v1/analytics/batch', { execution_id: id, turns: [turn(2)] });
  expect(await summary(`execution_id=${id}`)).toMatchObject({ turns: 2, tool_calls: 1 });
  clock.advance(31 * 24 * 3_600_000);
  await waitFor(
    () => call('GET', `/api/v1/executions/${id}`),
    ({ status }) => status === 404,
  );
  expect((await call('GET', `/api/v1/analytics/summary?execution_id=${id}`)).status).toBe(404);
});

test.each([
  ['no execution', { turns: [] }, 422],
  ['an unknown execution', { execution_id: 'absent', turns: [turn(1)] }, 404],
  ['a turn without a model', { execution_id: 'absent', turns: [{ turn_number: 1, started_at: startedAt }] }, 422],
  ['negative tokens', { execution_id: 'absent', turns: [turn(1, { input_tokens: -1 })] }, 422],
  ['a cost beyond all sums', { execution_id: 'absent', turns: [turn(1, { total_cost: 1e308 })] }, 422],
  ['what SQLite cannot read', { execution_id: 'absent', tool_calls: [{ ...toolCall('deep'), tool_input: deep }] }, 422],
  ['too many at once', { execution_id: 'absent', turns: Array.from({ length: 501 }, (_, index) => turn(index)) }, 422],
])('%s is refused', async (_name, body, status) => {
  expect((await call('POST', '/api/v1/analytics/batch', body)).status).toBe(status);
});

test('a time that is none is refused', async () => {
  expect((await call('GET', '/api/v1/analytics/summary?since=yesterday')).status).toBe(422);
  const zone = encodeURIComponent('2026-01-31T00:00:00+02');
  expect((await call('GET', `/api/v1/analytics/summary?since=${zone}`)).status).toBe(422);
  expect((await call('GET', '/api/v1/analytics/summary?agent_id=absent')).status).toBe(404);
});
