// Conversations and what an execution is asked for: sessions are kept as they came, and everything asked reaches the workflow.
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

const execute = (body: Record<string, unknown> = {}, path = 'agents/default') =>
  call('POST', `/api/v1/${path}/execute`, { prompt: 'hello', ...body });

test('a session comes back as it was saved, with what only its worker understands', async () => {
  const id = String((await execute({ is_conversation: true })).body['execution_id']);
  const messages = [
    { role: 'user', content: 'hello', message_id: 'm1', timestamp: '2026-01-02T03:04:05Z', user_name: 'ada' },
    { role: 'assistant', content: '', message_id: 'm2', metadata: { form: { toolCalls: [{ id: 'c', name: 'x' }] } } },
    { role: 'tool', content: 'done', message_id: 'm3', tool_name: 'x', tool_execution_id: 'c', tool_status: 'success' },
  ];
  const metadata = { turns: 1, nested: { kept: true } };
  const saved = await call('POST', `/api/v1/executions/${id}/session`, { session_id: 's', messages, metadata });
  expect(saved).toMatchObject({ status: 201, body: { success: true, persisted_messages: 3 } });
  const read = async () => (await call('GET', `/api/v1/executions/${id}/session`)).body;
  expect(await read()).toEqual({ session_id: 's', execution_id: id, messages, message_count: 3, metadata });
  // The whole conversation each time: the newest stands, also after the end.
  await call('PATCH', `/api/v1/executions/${id}`, { status: 'completed' });
  await call('POST', `/api/v1/executions/${id}/session`, { session_id: 's', messages: messages.slice(0, 1) });
  expect(await read()).toMatchObject({ message_count: 1, metadata: {} });
  const bad = await call('POST', `/api/v1/executions/${id}/session`, { session_id: 's', messages: [{ content: 'x' }] });
  expect(bad.status).toBe(422);
  expect((await call('GET', '/api/v1/executions/absent/session')).status).toBe(404);
});

test('what is asked of an execution is in the input of its workflow, for agents and teams', async () => {
  const parent = String((await execute()).body['execution_id']);
  const asked = {
    is_conversation: true,
    parent_execution_id: parent,
    limits: { max_cost_usd: 0.5, max_turns: 3 },
    output_schema: { type: 'object', required: ['answer'] },
    depth: 2,
    user_metadata: { user_name: 'ada' },
    model_id: 'openai/gpt-5',
    system_prompt: 'Be brief.',
  };
  await call('POST', '/api/v1/teams', { name: 'crew', configuration: { member_ids: ['default'], instructions: 'x' } });
  for (const path of ['agents/default', 'teams/crew']) {
    const { status, body } = await execute(asked, path);
    expect(status).toBe(200);
    const { start } = await workflowHistory(raw, String(body['workflow_id']));
    expect(start).toMatchObject(asked);
    const shown = await call('GET', `/api/v1/executions/${String(body['execution_id'])}`);
    expect(shown.body).toMatchObject({
      is_conversation: true,
      parent_execution_id: parent,
      model_id: 'openai/gpt-5',
      user_name: 'ada',
      user_email: null,
    });
  }
});

test.each([
  ['a negative limit', { limits: { max_turns: -1 } }, 422],
  ['a limit that is no number', { limits: { max_turns: 'many' } }, 422],
  ['a schema that is no object', { output_schema: 'object' }, 422],
  ['half a depth', { depth: 0.5 }, 422],
  ['a parent that is not there', { parent_execution_id: 'absent' }, 400],
])('%s is refused', async (_name, body, status) => {
  expect((await execute(body)).status).toBe(status);
});
