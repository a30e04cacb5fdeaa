// Limits, output schemas and continued conversations of executions, through the built program and a scripted model.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import type { EventView } from '../support/local-server.ts';
import type { ScriptedReply } from '../support/model-servers.ts';
import { until } from '../support/until.ts';
import { queueName, startLab, type Lab } from './lab.ts';
import { type Scenario, type Scenarios, startScenarios } from './scenarios.ts';

const limitMs = 30_000;
let models: Scenarios;
let lab: Lab;

beforeAll(async () => {
  models = await startScenarios('openai');
  lab = await startLab({ OPENAI_BASE_URL: models.url, OPENAI_API_KEY: 'sk-scripted' });
}, 90_000);
afterAll(async () => {
  await lab.stop();
  await models.stop();
}, 30_000);

const shell = (command: string, more: Partial<ScriptedReply> = {}): ScriptedReply =>
  ({ type: 'calls', calls: [{ name: 'run_shell_command', arguments: { command } }], ...more }) as ScriptedReply;
const says = (text: string, usage?: { input: number; output: number }): ScriptedReply => ({
  type: 'text',
  text,
  ...(usage === undefined ? {} : { usage }),
});

async function start(scenario: Scenario, more: Record<string, unknown> = {}): Promise<string> {
  const request = { prompt: scenario.tag, worker_queue_id: queueName, model_id: 'openai/x', ...more };
  const answer = await lab.server.request('POST', '/api/v1/agents/default/execute', request);
  return (answer as { execution_id: string }).execution_id;
}
const status = (id: string, wanted: string): Promise<void> =>
  until(async () => (await lab.server.execution(id)).status === wanted, { limitMs, what: () => `status ${wanted}` });
const message = (id: string, text: string): Promise<unknown> =>
  lab.server.request('POST', `/api/v1/executions/${id}/message`, { message: text });
const markDone = (id: string): Promise<unknown> => lab.server.request('POST', `/api/v1/executions/${id}/mark-done`);
const dataOf = (events: readonly EventView[], type: string): Record<string, unknown>[] =>
  events.filter(({ event_type }) => event_type === type).map(({ data }) => data);
const sent = (scenario: Scenario, request: number): { role: string; content: unknown; tool_calls?: unknown }[] =>
  scenario.requests[request]?.body['messages'] as ReturnType<typeof sent>;

async function expectLimit(id: string, limit: string, words: RegExp): Promise<void> {
  expect(await lab.server.ended(id, limitMs)).toMatchObject({
    status: 'failed',
    error_message: expect.stringMatching(words),
  });
  const events = await lab.server.events(id);
  expect(dataOf(events, 'notice')).toContainEqual({ code: `limit_${limit}`, message: expect.stringMatching(words) });
  expect(dataOf(events, 'error')).toMatchObject([{ error_type: 'limit' }]);
}

describe('limits', () => {
  test('on turns, tokens and cost end an execution before it spends more, each with its own notice', async () => {
    const turns = await start(models.add([shell('true'), shell('true')]), { limits: { turns: 2 } });
    await expectLimit(turns, 'turns', /limit of 2 turns/);
    const usage = { input: 900, output: 200 };
    const tokens = await start(models.add([shell('true', { usage })]), { limits: { max_tokens: 1_000 } });
    await expectLimit(tokens, 'tokens', /limit of 1000 tokens/);
    const cost = await start(models.add([shell('true', { usage })]), { limits: { max_cost_usd: 0.001 } });
    await expectLimit(cost, 'cost', /limit of 0.001 US dollars/);
  }, 60_000);

  test('the model record’s price counts, and the cost is reported', async () => {
    const pricing = { input: 1000, output: 2000 };
    await lab.server.request('POST', '/api/v1/models', { value: 'openai/priced', pricing });
    const scenario = models.add([says('paid', { input: 1_000, output: 500 })]);
    const id = await start(scenario, { model_id: 'openai/priced' });
    expect(await lab.server.ended(id, limitMs)).toMatchObject({ usage: { cost_usd: 2, is_cost_estimated: false } });
  }, 60_000);

  test('of an agent are beaten by those of the execution', async () => {
    const agent = { name: 'limited', configuration: { limits: { turns: 1 } } };
    const { id: agentId } = (await lab.server.request('POST', '/api/v1/agents', agent)) as { id: string };
    const scenario = models.add([shell('true')]);
    const request = { prompt: scenario.tag, worker_queue_id: queueName, model_id: 'openai/x' };
    const execute = async (more: Record<string, unknown>): Promise<string> => {
      const answer = await lab.server.request('POST', `/api/v1/agents/${agentId}/execute`, { ...request, ...more });
      return (answer as { execution_id: string }).execution_id;
    };
    await expectLimit(await execute({}), 'turns', /limit of 1 turns/);
    const more = models.add([shell('true'), says('two')]);
    const id = await execute({ prompt: more.tag, limits: { turns: 3 } });
    expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'two' });
  }, 60_000);

  test('on a tool’s time and output cut the call short, not the execution, and are said', async () => {
    const more = { limits: { tool_time_seconds: 1, tool_output_bytes: 2_000 } };
    const scenario = models.add([shell('sleep 60'), shell("head -c 9000 /dev/zero | tr '\\0' x"), says('went on')]);
    const id = await start(scenario, more);
    expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'went on' });
    const notices = dataOf(await lab.server.events(id), 'notice');
    expect(notices.map(({ code }) => code)).toEqual(['limit_tool_time', 'limit_tool_output']);
    expect(String(sent(scenario, 1).at(-1)?.content)).toContain('time limit of 1 s');
    expect(String(sent(scenario, 2).at(-1)?.content).length).toBeLessThan(2_200);
  }, 60_000);

  test('on wall time stops the tool that runs, and what is paused', async () => {
    const limits = { wall_time_seconds: 1.5 };
    const running = await start(models.add([shell('sleep 60; echo over')]), { limits });
    const pausing = await start(models.add([shell('sleep 0.7')]), { limits });
    await until(async () => dataOf(await lab.server.events(pausing), 'tool_started').length === 1, { limitMs });
    await lab.server.request('POST', `/api/v1/executions/${pausing}/pause`);
    const startedAt = performance.now();
    await expectLimit(running, 'wall_time', /time limit of 2 s/);
    expect(dataOf(await lab.server.events(running), 'tool_completed')).toMatchObject([{ outcome: 'cancelled' }]);
    await expectLimit(pausing, 'wall_time', /time limit of 2 s/);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  }, 60_000);

  test('on wall time lets a conversation that has its answer end with it', async () => {
    const more = { limits: { wall_time_seconds: 1.5 }, is_conversation: true };
    const id = await start(models.add([says('hello')]), more);
    await status(id, 'waiting_for_input');
    expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'hello' });
  }, 60_000);
});

describe('an output schema', () => {
  const schema = {
    type: 'object',
    properties: { n: { type: 'integer' } },
    required: ['n'],
    additionalProperties: false,
  };

  test('takes the JSON out of its fence, and tells the model of it', async () => {
    const scenario = models.add([says('Here it is:\n```json\n{"n": 1}\n```')]);
    const id = await start(scenario, { output_schema: schema });
    expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: '{"n": 1}' });
    expect(JSON.stringify(sent(scenario, 0)[0])).toContain('JSON Schema');
  }, 60_000);

  test('is repaired once by telling the model what is wrong', async () => {
    const scenario = models.add([says('{"n": "one"}'), says('{"n": 1}')]);
    const id = await start(scenario, { output_schema: schema });
    expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: '{"n": 1}' });
    expect(sent(scenario, 1).at(-1)?.content).toMatch(/does not match the output schema: #\/n/);
  }, 60_000);

  test('that is missed twice fails the execution', async () => {
    const id = await start(models.add([says('no'), says('{"m": 1}')]), { output_schema: schema });
    expect(await lab.server.ended(id, limitMs)).toMatchObject({
      status: 'failed',
      error_message: expect.stringMatching(/does not match the output schema/),
    });
  }, 60_000);

  test('of a chat is judged at each answer, and a later good one makes it whole', async () => {
    const scenario = models.add([says('no'), says('still no'), says('{"n": 2}')]);
    const id = await start(scenario, { output_schema: schema, is_conversation: true });
    await status(id, 'waiting_for_input');
    await message(id, 'again');
    await until(() => scenario.requests.length === 3, { limitMs });
    await status(id, 'waiting_for_input');
    await markDone(id);
    expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: '{"n": 2}' });
  }, 60_000);

  test('that cannot be used is refused with a sentence', async () => {
    const id = await start(models.add([]), { output_schema: { $ref: '#/nowhere' } });
    expect(await lab.server.ended(id, limitMs)).toMatchObject({
      status: 'failed',
      error_message: expect.stringMatching(/output schema/),
    });
  }, 60_000);
});

describe('conversations', () => {
  test('messages that come while a tool runs join at the next turn, in order and once', async () => {
    const scenario = models.add([shell('sleep 1'), says('all read')]);
    const id = await start(scenario, { is_conversation: true });
    await until(async () => dataOf(await lab.server.events(id), 'tool_started').length === 1, { limitMs });
    for (const text of ['one', 'two', 'three']) await message(id, text);
    const again = { message: 'four', message_id: 'the-same' };
    for (let n = 0; n < 2; n++) await lab.server.request('POST', `/api/v1/executions/${id}/message`, again);
    await status(id, 'waiting_for_input');
    const users = sent(scenario, 1).filter(({ role }) => role === 'user');
    expect(users.slice(1).map(({ content }) => content)).toEqual(['one', 'two', 'three', 'four']);
    await markDone(id);
    expect((await lab.server.ended(id, limitMs)).status).toBe('completed');
  }, 60_000);

  test('one that is paused ends when it is marked as done', async () => {
    const id = await start(models.add([says('hello')]), { is_conversation: true });
    await status(id, 'waiting_for_input');
    await lab.server.request('POST', `/api/v1/executions/${id}/pause`);
    await status(id, 'paused');
    await markDone(id);
    expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'hello' });
  }, 60_000);

  test('an execution goes on from its parent’s conversation, with its calls and their results', async () => {
    const parent = models.add([shell('echo seen-by-parent'), says('I have looked')]);
    const parentId = await start(parent);
    await lab.server.ended(parentId, limitMs);
    const child = models.add([says('I remember')]);
    const id = await start(child, { parent_execution_id: parentId });
    expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'I remember' });
    const messages = sent(child, 0);
    expect(messages.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'tool', 'assistant', 'user']);
    expect(messages[3]?.content).toContain('seen-by-parent');
    expect(messages[2]?.tool_calls).toMatchObject([{ function: { name: 'run_shell_command' } }]);
  }, 60_000);

  test('another worker goes on with a conversation', async () => {
    const scenario = models.add([says('first'), says('second')]);
    const id = await start(scenario, { is_conversation: true });
    await status(id, 'waiting_for_input');
    lab.worker.kill();
    lab = await lab.restartWorker();
    await message(id, 'still there?');
    await until(() => scenario.requests.length === 2, { limitMs });
    await status(id, 'waiting_for_input');
    expect(
      sent(scenario, 1)
        .map(({ content }) => content)
        .slice(1),
    ).toEqual([scenario.tag, 'first', 'still there?']);
    await markDone(id);
    expect((await lab.server.ended(id, limitMs)).status).toBe('completed');
  }, 60_000);
});

test('a conversation that fills the window is summed up by the model, which goes on with the summary', async () => {
  const full = { input: 200_000, output: 10 };
  const long = 'x'.repeat(2_000);
  const scenario = models.add([
    says(`first ${long}`, { input: 100, output: 10 }),
    says(`second ${long}`, { input: 200, output: 10 }),
    says(`third ${long}`, full),
    (): ScriptedReply => says(`SUMMARY ${scenario.tag}`),
    says('fourth'),
  ]);
  // Its window of 200,000 tokens is full by what the provider says, although the text is short.
  const id = await start(scenario, { is_conversation: true, model_id: 'openai/claude-x' });
  for (let turn = 1; turn <= 3; turn++) {
    await until(() => scenario.requests.length === turn, { limitMs, what: () => `turn ${turn}` });
    await status(id, 'waiting_for_input');
    await message(id, `more ${turn}`);
  }
  await until(() => scenario.requests.length === 5, { limitMs, what: () => 'the turn after the summary' });
  await status(id, 'waiting_for_input');
  expect(sent(scenario, 3)[0]?.content).toContain('You sum up the conversation');
  const after = sent(scenario, 4).map(({ content }) => String(content));
  expect(after[1]).toBe(`[Summary of the conversation so far]\nSUMMARY ${scenario.tag}`);
  expect(after.at(-1)).toBe('more 3');
  expect(after.join()).not.toContain('first');
  // Nobody is shown the summary as an answer.
  expect(JSON.stringify(dataOf(await lab.server.events(id), 'message'))).not.toContain('SUMMARY');
  await markDone(id);
  expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'fourth' });
}, 60_000);
