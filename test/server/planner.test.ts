// The planner over HTTP: rules without a model, a scripted language model, and what becomes of its hostile answers.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { resolveModel } from '../../src/gateway/providers.ts';
import type { Plan, PlanEvent } from '../../src/protocol/planner.ts';
import type { ControlPlane } from '../../src/server/start.ts';
import { type ScriptedReply, type ScriptedServer, startScriptedOpenAi } from '../support/model-servers.ts';
import { absentTemporal, callerOf, startTestServer, testToken } from './support.ts';

const agents = [
  { id: 'a-default', name: 'default', description: 'shell, files and Python' },
  { id: 'a-deployer', name: 'deployer', description: 'rolls out services', capabilities: ['kubernetes', 'helm'] },
  { id: 'a-reviewer', name: 'code-reviewer', description: 'reads pull requests' },
];
const teams = [{ id: 't-incident', name: 'incident', description: 'finds the cause of an outage together' }];
const queues = [
  { id: 'q-1', name: 'default', environment_id: 'e-1', active_workers: 0 },
  { id: 'q-2', name: 'gpu', environment_id: 'e-1', active_workers: 1 },
];
const request = (description: string, changes: Record<string, unknown> = {}) => ({
  description,
  agents,
  teams,
  environments: [{ id: 'e-1', name: 'production' }],
  worker_queues: queues,
  ...changes,
});
const modelPlan = (entityId: unknown, extra: Record<string, unknown> = {}) =>
  JSON.stringify({
    title: 'Roll it out',
    summary: 'Helm does it.',
    recommended_execution: { entity_type: 'agent', entity_id: entityId, reasoning: 'it knows helm' },
    ...extra,
  });

let model: ScriptedServer;
let replies: ScriptedReply[] = [];
let withModel: ControlPlane;
let without: ControlPlane;

beforeAll(async () => {
  model = await startScriptedOpenAi(() => replies.shift() ?? { type: 'status', status: 400, body: {} });
  withModel = await startTestServer(absentTemporal, {
    findPlannerModel: async () => {
      const { client, model: id } = resolveModel('openai/planner', {
        OPENAI_BASE_URL: model.url,
        OPENAI_API_KEY: 'k',
      });
      return { kind: 'model', client, model: id };
    },
  });
  without = await startTestServer(absentTemporal);
});
afterAll(async () => {
  await Promise.all([withModel.stop(), without.stop(), model.stop()]);
});

async function planOf(server: ControlPlane, body: unknown): Promise<Plan> {
  const answer = await callerOf(server.url)('POST', '/api/v1/tasks/plan', body);
  expect(answer.status).toBe(200);
  return answer.body['plan'] as Plan;
}

async function eventsOf(server: ControlPlane, body: unknown): Promise<PlanEvent[]> {
  const response = await fetch(`${server.url}/api/v1/tasks/plan/stream`, {
    method: 'POST',
    headers: { authorization: `Bearer ${testToken}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  const frames = (await response.text()).split('\n\n').filter((frame) => frame.startsWith('event: '));
  return frames.map((frame) => {
    const event = JSON.parse(frame.slice(frame.indexOf('data: ') + 6)) as PlanEvent;
    expect(frame).toStartWith(`event: ${event.type}\n`);
    return event;
  });
}

test('a long log in the task holds nobody up, and the words around it still choose', async () => {
  const words = (count: number, mark: string) =>
    Array.from({ length: count }, (_, index) => `${mark}${index}x`).join(' ');
  const many = Array.from({ length: 300 }, (_, index) => {
    return { id: `m-${index}`, name: `helper ${index}`, description: words(40, 'other') };
  });
  const log = words(20_000, 'row');
  const body = request(`${log}\nwhat in this log is about helm?`, { agents: [...many, ...agents], teams: [] });
  const start = performance.now();
  expect((await planOf(without, body)).recommended_execution.entity_id).toBe('a-deployer');
  expect(performance.now() - start).toBeLessThan(3_000);
});

describe('by rules', () => {
  test.each([
    ['deploy version 3 to kubernetes', 'a-deployer'],
    ['ask the code reviewer about this', 'a-reviewer'],
    ['there is an outage, find its cause', 't-incident'],
    ['zzz qqq', 'a-default'],
  ])('%s', async (description, id) => {
    const plan = await planOf(without, request(description));
    expect(plan.recommended_execution.entity_id).toBe(id);
    expect(plan.recommended_execution.entity_type).toBe(id.startsWith('t-') ? 'team' : 'agent');
    expect(plan.recommended_execution.reasoning).toContain('no language model');
    expect(plan.recommended_execution).toMatchObject({
      recommended_worker_queue_id: 'q-2',
      recommended_environment_name: 'production',
    });
  });

  test('the stream says that they were rules, and ends with the plan', async () => {
    const events = await eventsOf(without, request('helm upgrade'));
    expect(events.map(({ type }) => type)).toEqual(['progress', 'notice', 'complete']);
    expect(events[1]).toMatchObject({
      message: 'Planned by rules, without a language model: this control plane has none',
    });
  });

  test('nobody to choose from, and requests that are none', async () => {
    const call = callerOf(without.url);
    const nobody = request('x', { agents: [], teams: [] });
    expect(await call('POST', '/api/v1/tasks/plan', nobody)).toMatchObject({
      status: 400,
      body: { code: 'no_agents' },
    });
    expect((await eventsOf(without, nobody)).at(-1)).toMatchObject({
      type: 'error',
      suggestion: 'create one with `kubiya agent create --name default`',
    });
    for (const body of [{}, { description: '  ' }, { description: 'x', agents: [{ name: 'no id' }] }])
      expect((await call('POST', '/api/v1/tasks/plan', body)).status).toBe(422);
  });

  test('a plan can be read back, health says how plans are made', async () => {
    const plan = await planOf(without, request('x'));
    const call = callerOf(without.url);
    expect((await call('GET', `/api/v1/tasks/plan/${plan.plan_id}`)).body).toEqual({ plan });
    expect((await call('GET', '/api/v1/tasks/plan/nope')).status).toBe(404);
    expect((await call('GET', '/api/v1/tasks/plan/health')).body).toMatchObject({ current_strategy: 'rules' });
    expect((await callerOf(withModel.url)('GET', '/api/v1/tasks/plan/health')).body).toMatchObject({
      current_strategy: 'model',
    });
  });
});

describe('with a model', () => {
  const asked = (): number => model.requests.length;

  test('its choice, its steps and its thinking, in a fence or not', async () => {
    const breakdown = [
      { who: 'deployer', tasks: [{ title: 'helm upgrade', description: 'with --atomic' }] },
      { who: 5 },
    ];
    const extra = { breakdown, risks: ['downtime', 7], complexity: { story_points: 99, confidence: 'sure' } };
    const text = `Here:\n\`\`\`json\n${modelPlan('a-deployer', extra)}\n\`\`\``;
    replies = [{ type: 'text', text, thinking: 'who knows helm?' }];
    const events = await eventsOf(withModel, request('upgrade it', { quick_mode: false }));
    expect(events.map(({ type }) => type)).toContain('thinking');
    const last = events.at(-1);
    expect(last).toMatchObject({
      type: 'complete',
      plan: {
        title: 'Roll it out',
        recommended_execution: { entity_id: 'a-deployer', entity_name: 'deployer', reasoning: 'it knows helm' },
        complexity: { story_points: 21, confidence: 'low' },
        team_breakdown: [{ agent_id: 'a-deployer', tasks: [{ title: 'helm upgrade', status: 'pending' }] }],
        risks: ['downtime'],
        has_questions: false,
      },
    });
  });

  test('no plan is asked for once more, a second time the rules decide and say so', async () => {
    replies = [
      { type: 'text', text: 'I would rather chat' },
      { type: 'text', text: modelPlan('a-reviewer') },
    ];
    expect((await planOf(withModel, request('x'))).recommended_execution.entity_id).toBe('a-reviewer');
    replies = [
      { type: 'text', text: '{"title": "half' },
      { type: 'text', text: '[]' },
    ];
    const events = await eventsOf(withModel, request('use helm'));
    expect(events.find(({ type }) => type === 'notice')).toMatchObject({
      message: 'Planned by rules, without a language model: openai/planner gave no plan (it holds no JSON object)',
    });
    expect(events.at(-1)).toMatchObject({ plan: { recommended_execution: { entity_id: 'a-deployer' } } });
  });

  test.each([['a-nobody'], ['../../etc/passwd'], ['x'.repeat(10_000)]])(
    'an agent that does not exist is not run',
    async (id) => {
      replies = [{ type: 'text', text: modelPlan(id) }];
      const events = await eventsOf(withModel, request('use helm'));
      const notice = events.find(({ type }) => type === 'notice');
      expect(JSON.stringify(notice)).toContain('which does not exist; the rules chose the agent deployer');
      expect(events.at(-1)).toMatchObject({ plan: { recommended_execution: { entity_id: 'a-deployer' } } });
    },
  );

  test('a provider that refuses costs one request and no plan', async () => {
    replies = [{ type: 'status', status: 401, body: { error: { message: 'no' } } }];
    const before = asked();
    expect((await planOf(withModel, request('use helm'))).recommended_execution.reasoning).toContain(
      'There was no language model to plan with',
    );
    expect(asked() - before).toBe(1);
  });

  test('quick mode with one agent asks nobody', async () => {
    const before = asked();
    const plan = await planOf(withModel, request('x', { agents: agents.slice(0, 1), teams: [], quick_mode: true }));
    expect(plan.recommended_execution).toMatchObject({ entity_id: 'a-default', reasoning: 'It is the only agent.' });
    expect(asked()).toBe(before);
  });
});
