// Agents that run other agents: side by side, only those they may use, only so deep, and speaking to them again.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { ScriptedReply } from '../support/model-servers.ts';
import { queueName, startLab, type Lab } from './lab.ts';
import { type Scenario, type ScenarioReply, type Scenarios, startScenarios } from './scenarios.ts';

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

const calls = (...all: (readonly [name: string, given: Record<string, unknown>])[]): ScriptedReply => ({
  type: 'calls',
  calls: all.map(([name, given]) => ({ name, arguments: given })),
});
const says = (text: string): ScriptedReply => ({ type: 'text', text });

let made = 0;
/** An agent whose every execution is the scenario's: its system prompt names it. */
async function agentOf(
  name: string,
  replies: readonly ScenarioReply[],
  configuration?: Record<string, unknown>,
): Promise<{ readonly id: string; readonly scenario: Scenario }> {
  const scenario = models.add(replies);
  const skill = { name: `speech-${++made}`, type: 'agent_communication', configuration: configuration ?? {} };
  const skillIds =
    configuration === undefined
      ? []
      : [((await lab.server.request('POST', '/api/v1/skills', skill)) as { id: string }).id];
  const agent = { name, system_prompt: `You are ${scenario.tag}`, skill_ids: skillIds, model_id: 'openai/x' };
  return { id: ((await lab.server.request('POST', '/api/v1/agents', agent)) as { id: string }).id, scenario };
}

async function run(
  agentId: string,
): Promise<{ readonly id: string; readonly status: string; readonly response?: string }> {
  const request = { prompt: 'Go', worker_queue_id: queueName };
  const answer = await lab.server.request('POST', `/api/v1/agents/${agentId}/execute`, request);
  const id = (answer as { execution_id: string }).execution_id;
  return { ...(await lab.server.ended(id, limitMs)), id } as Awaited<ReturnType<typeof run>>;
}

interface Told {
  readonly role: string;
  readonly content: string;
}
/** The results of tools that the model saw in its n-th request. */
const toldOf = (scenario: Scenario, request: number): string[] =>
  ((scenario.requests[request]?.body['messages'] ?? []) as Told[])
    .filter(({ role }) => role === 'tool')
    .map(({ content }) => content);

/** The id of an execution of the agent, as the control plane lists it. */
async function executionOf(agentId: string): Promise<string> {
  const all = (await lab.server.request('GET', '/api/v1/executions?limit=100')) as { id: string; entity_id?: string }[];
  const found = all.find((execution) => execution.entity_id === agentId);
  if (found === undefined) throw new Error(`no execution of ${agentId}`);
  return found.id;
}

test('two agents answer side by side, and their executions can be looked at', async () => {
  const ada = await agentOf('com-ada', [says('Ada counted 3')]);
  await agentOf('com-bob', [says('Bob counted 4')]);
  const boss = await agentOf(
    'com-boss',
    [
      calls(
        ['execute_agent', { agent_id: ada.id, prompt: 'Count' }],
        ['execute_agent', { agent_id: 'com-bob', prompt: 'Count' }],
      ),
      says('7'),
    ],
    { variant: 'full_orchestration' },
  );
  expect(await run(boss.id)).toMatchObject({ status: 'completed', response: '7' });
  const [first, second] = toldOf(boss.scenario, 1);
  expect(first).toContain('Ada counted 3');
  expect(second).toContain('Bob counted 4');

  const adaExecution = await executionOf(ada.id);
  const watcher = await agentOf(
    'com-watcher',
    [
      calls(
        ['get_execution_status', { execution_id: adaExecution }],
        ['execute_agent', { agent_id: ada.id, prompt: 'x' }],
      ),
      says('seen'),
    ],
    { variant: 'read_only' },
  );
  expect((await run(watcher.id)).status).toBe('completed');
  const [seen, refused] = toldOf(watcher.scenario, 1);
  expect(JSON.parse(seen ?? '')).toMatchObject({ status: 'completed', agent: 'com-ada', response: 'Ada counted 3' });
  expect(refused).toContain('There is no tool named execute_agent');
}, 60_000);

test('[agent_communication.allowed_agents] [agent_communication.max_execution_depth] hold when it runs', async () => {
  const stranger = await agentOf('com-stranger', [says('hello')]);
  expect((await run(stranger.id)).status).toBe('completed');
  const strangers = await executionOf(stranger.id);
  const inner = await agentOf(
    'com-inner',
    [calls(['execute_agent', { agent_id: stranger.id, prompt: 'deeper' }]), says('inner is done')],
    { max_execution_depth: 1 },
  );
  const outer = await agentOf(
    'com-outer',
    [
      calls(
        ['execute_agent', { agent_id: 'com-inner', prompt: 'Go in' }],
        ['execute_agent', { agent_id: stranger.id, prompt: 'no' }],
        ['followup_execution', { execution_id: strangers, followup_prompt: 'no' }],
      ),
      says('outer is done'),
    ],
    { allowed_agents: ['com-inner'] },
  );
  expect(await run(outer.id)).toMatchObject({ status: 'completed', response: 'outer is done' });
  const [went, refused, unheard] = toldOf(outer.scenario, 1);
  expect(went).toContain('inner is done');
  expect(refused).toContain('is not among the agents and teams that may be used (com-inner)');
  expect(unheard).toContain('is of none of the agents and teams that may be used (com-inner)');
  expect(toldOf(inner.scenario, 1)[0]).toContain('max_execution_depth');
  expect(stranger.scenario.requests).toHaveLength(1);
}, 60_000);
