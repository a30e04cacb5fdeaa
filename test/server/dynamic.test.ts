// Executions that bring their agent along, the lists that find executions, and their ends in a batch, against the real Temporal.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { Connection } from '@temporalio/client';
import type { DevServer } from '../../src/server/dev-server.ts';
import type { ControlPlane } from '../../src/server/start.ts';
import { callerOf, startTestServer, startTestTemporal, workflowHistory, type Call } from './support.ts';

let devServer: DevServer;
let raw: Connection;
let server: ControlPlane;
let call: Call;

beforeAll(async () => {
  devServer = await startTestTemporal();
  raw = await Connection.connect({ address: devServer.address });
  server = await startTestServer(devServer.address);
  call = callerOf(server.url);
}, 60_000);
afterAll(async () => {
  await server.stop();
  await raw.close();
  await devServer.stop();
}, 60_000);

const path = '/api/v1/dynamic-executions/execute';
const secret = 'sk-not-for-temporal';
const mcpServers = { search: { url: 'http://127.0.0.1:1/mcp', headers: { authorization: secret } } };
const entity = {
  name: 'one-off',
  system_prompt: 'You count words.',
  model_id: 'kubiya/offline',
  model_params: { temperature: 0 },
  configuration: { max_turns: 3 },
  mcp_servers: mcpServers,
};

test('the agent is in the workflow, its secrets are not, and its worker finds them', async () => {
  const skill = await call('POST', '/api/v1/skills', { name: 'dynamic-shell', type: 'shell' });
  const answer = await call('POST', path, {
    prompt: 'count',
    entity: { ...entity, skill_ids: ['dynamic-shell'] },
    execution_environment: { env_vars: { COLOUR: 'blue' }, working_dir: '/tmp' },
  });
  expect(skill.status).toBe(201);
  expect(answer).toMatchObject({ status: 200, body: { status: 'PENDING' } });
  expect(answer.body['entity_id']).toBeString();
  const { execution_id: id, entity_id: entityId, workflow_id: workflowId } = answer.body;
  const { type, start } = await workflowHistory(raw, String(workflowId));
  expect(type).toBe('DynamicAgentExecutionWorkflow');
  expect(start).toMatchObject({
    execution_id: id,
    entity_id: entityId,
    entity_name: 'one-off',
    prompt: 'count',
    system_prompt: 'You count words.',
    model_id: 'kubiya/offline',
    model_config: { temperature: 0 },
    agent_config: { max_turns: 3, cwd: '/tmp' },
    skill_ids: ['dynamic-shell'],
    runtime_type: 'default',
  });
  expect(JSON.stringify(start)).not.toContain(secret);
  const full = `/api/v1/execution-environment/agents/${String(entityId)}/resolved/full`;
  const resolved = await call('GET', `${full}?execution_id=${String(id)}`);
  expect(resolved.body).toMatchObject({
    mcp_servers: mcpServers,
    env_vars: { COLOUR: 'blue' },
    configuration: { max_turns: 3 },
  });
  // Without its execution it is nobody.
  expect((await call('GET', full)).status).toBe(404);
  expect((await call('GET', `/api/v1/agents/${String(entityId)}`)).status).toBe(404);
  const shown = await call('GET', `/api/v1/executions/${String(id)}`);
  expect(shown.body).toMatchObject({ entity_name: 'one-off', execution_type: 'agent', prompt: 'count' });
});

test.each([
  ['no system prompt', { prompt: 'x', entity: { name: 'x' } }, 422, 'invalid_request'],
  ['no prompt', { prompt: ' ', entity }, 422, 'invalid_request'],
  ['an unknown skill', { prompt: 'x', entity: { ...entity, skill_ids: ['absent'] } }, 400, 'skill_not_found'],
  ['an unknown queue', { prompt: 'x', entity, worker_queue_id: 'absent' }, 404, 'queue_not_found'],
  ['a team', { prompt: 'x', entity: { ...entity, entity_type: 'team' } }, 400, 'dynamic_team'],
  ['subagents', { prompt: 'x', entity: { ...entity, subagents: { helper: {} } } }, 400, 'dynamic_team'],
])('%s is refused', async (_name, body, status, code) => {
  expect(await call('POST', path, body)).toMatchObject({ status, body: { code } });
});

test('where it would go', async () => {
  const answer = await call('POST', '/api/v1/dynamic-executions/resolve-queue', {});
  expect(answer).toMatchObject({ status: 200, body: { worker_queue_name: 'default', active_workers: 0 } });
  const absent = { worker_queue_id: 'absent' };
  expect((await call('POST', '/api/v1/dynamic-executions/resolve-queue', absent)).status).toBe(404);
});

test('executions are found by status, agent, team, type and queue', async () => {
  await call('POST', '/api/v1/agents', { name: 'listed' });
  await call('POST', '/api/v1/teams', { name: 'listed-team', configuration: { member_ids: ['listed'] } });
  await call('POST', '/api/v1/environments/default/worker-queues', { name: 'side' });
  const start = async (entityPath: string, body: Record<string, unknown> = {}): Promise<string> =>
    String((await call('POST', `/api/v1/${entityPath}/execute`, { prompt: 'x', ...body })).body['execution_id']);
  const ofAgent = await start('agents/listed');
  const ofTeam = await start('teams/listed-team', { worker_queue_id: 'side' });
  await call('PATCH', `/api/v1/executions/${ofAgent}`, { status: 'running' });
  const found = async (query: string): Promise<string[]> => {
    const { status, body } = await call('GET', `/api/v1/executions?${query}`);
    expect(status).toBe(200);
    return (body as unknown as { id: string }[]).map(({ id }) => id);
  };
  expect(await found('agent_id=listed')).toEqual([ofAgent]);
  expect(await found('team_id=listed-team')).toEqual([ofTeam]);
  expect(await found('execution_type=TEAM')).toEqual([ofTeam]);
  expect(await found('execution_type=agent')).not.toContain(ofTeam);
  expect(await found('worker_queue_id=side')).toEqual([ofTeam]);
  expect(await found('status_filter=RUNNING')).toEqual([ofAgent]);
  expect(await found('agent_id=listed&status=pending')).toEqual([]);
  expect((await call('GET', '/api/v1/executions?execution_type=robot')).status).toBe(422);
  expect((await call('GET', `/api/v1/executions/${ofTeam}`)).body).toMatchObject({ execution_type: 'team' });
});

test('a batch ends each by itself', async () => {
  const start = async (): Promise<string> =>
    String((await call('POST', '/api/v1/agents/default/execute', { prompt: 'x' })).body['execution_id']);
  const [one, two] = [await start(), await start()];
  await call('PATCH', `/api/v1/executions/${two}`, { status: 'completed' });
  const ids = [one, two, one, 'absent'];
  const answer = await call('POST', '/api/v1/executions/batch/terminate', {
    execution_ids: ids,
    reason: 'cleaning up',
  });
  expect(answer.body).toMatchObject({
    terminated: 1,
    results: [
      { execution_id: one, success: true },
      { execution_id: two, success: false, status: 'completed' },
      { execution_id: 'absent', success: false, error: 'There is no such execution' },
    ],
  });
  expect((await call('GET', `/api/v1/executions/${one}`)).body).toMatchObject({
    status: 'terminated',
    error_message: 'Terminated by a user: cleaning up',
  });
  const none = await call('POST', '/api/v1/executions/batch/terminate', { execution_ids: [] });
  expect(none.status).toBe(422);
});
