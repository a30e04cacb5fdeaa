// Executions against the real Temporal: started once, steered, ended, found again after restarts and outages.
// One file because all of it shares one Temporal server and one control plane, which take a second to start.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { Connection } from '@temporalio/client';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isRefused } from '../../src/lib/payload-refusal.ts';
import { createPayloadSignatureCodec, type SignedPayload } from '../../src/lib/payload-signature.ts';
import { executionSchema } from '../../src/protocol/control-plane.ts';
import { agentWorkflowId } from '../../src/protocol/workflow.ts';
import * as v from 'valibot';
import { startDevServer, type DevServer } from '../../src/server/dev-server.ts';
import type { ControlPlane } from '../../src/server/start.ts';
import { createTemporal, probeTemporal, type Temporal } from '../../src/server/temporal.ts';
import {
  absentTemporal,
  callerOf,
  createTestClock,
  createTestSpawner,
  quietLog,
  signingKey,
  startTestServer,
  startTestTemporal,
  temporalExecutable,
  waitFor,
  workflowHistory,
  type Call,
} from './support.ts';

const directory = mkdtempSync(join(tmpdir(), 'kubiya-executions-'));
const clock = createTestClock();
let devServer: DevServer;
let temporal: Temporal;
let raw: Connection;
let server: ControlPlane;
let call: Call;

beforeAll(async () => {
  devServer = await startTestTemporal();
  temporal = createTemporal({ address: devServer.address, namespace: 'default', isLocal: true }, signingKey);
  raw = await Connection.connect({ address: devServer.address });
  server = await startTestServer(devServer.address, { clock });
  call = callerOf(server.url);
}, 60_000);
afterAll(async () => {
  await server.stop();
  await temporal.close();
  await raw.close();
  await devServer.stop();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

const execute = async (body: Record<string, unknown> = {}, headers: Record<string, string> = {}): Promise<string> => {
  const answer = await call('POST', '/api/v1/agents/default/execute', { prompt: 'hello', ...body }, headers);
  expect(answer.status).toBe(200);
  expect(answer.body).toMatchObject({ status: 'PENDING', workflow_id: expect.stringContaining('agent-execution-') });
  return String(answer.body['execution_id']);
};
const get = async (id: string) => v.parse(executionSchema, (await call('GET', `/api/v1/executions/${id}`)).body);
const ended = (id: string) =>
  waitFor(
    () => get(id),
    ({ completed_at: at }) => typeof at === 'string',
  );
const eventsOf = async (id: string, caller = call) =>
  (await caller('GET', `/api/v1/executions/${id}/events`)).body as unknown as {
    event_type: string;
    data: Record<string, unknown>;
  }[];

const historyOf = (id: string) => workflowHistory(raw, agentWorkflowId(id));

describe('start', () => {
  test('the workflow gets a signed input, without variables, and a 3 s workflow-task timeout', async () => {
    const request = {
      model_id: 'kubiya/offline',
      system_prompt: 'Be kind',
      is_conversation: true,
      execution_environment: { working_dir: '/work', env_vars: { SECRET_SAUCE: 'tomato' } },
    };
    const id = await execute(request);
    const { start } = await historyOf(id);
    expect(isRefused(start)).toBe(false);
    expect(start).toMatchObject({
      execution_id: id,
      prompt: 'hello',
      model_id: 'kubiya/offline',
      system_prompt: 'Be kind',
      is_conversation: true,
      agent_config: { cwd: '/work' },
    });
    expect(JSON.stringify(start)).not.toContain('tomato');
    const { executionConfig } = await raw.workflowService.describeWorkflowExecution({
      namespace: 'default',
      execution: { workflowId: agentWorkflowId(id) },
    });
    expect(Number(executionConfig?.defaultWorkflowTaskTimeout?.seconds)).toBe(3);
    expect(await get(id)).toMatchObject({
      status: 'pending',
      entity_name: 'default',
      runner_name: 'default',
      model_id: 'kubiya/offline',
    });
  });

  test('an idempotency key: the same request is the same execution, another one is 409', async () => {
    const key = { 'idempotency-key': 'key-1' };
    const first = await execute({}, key);
    expect(await execute({}, key)).toBe(first);
    const crowd = Array.from({ length: 20 }, () => execute({}, { 'idempotency-key': 'key-2' }));
    expect(new Set(await Promise.all(crowd)).size).toBe(1);
    const other = await call('POST', '/api/v1/agents/default/execute', { prompt: 'another' }, key);
    expect(other.status).toBe(409);
    expect(other.body).toMatchObject({ code: 'idempotency_key_reused', execution_id: first });
    const long = await call(
      'POST',
      '/api/v1/agents/default/execute',
      { prompt: 'x' },
      { 'idempotency-key': 'k'.repeat(201) },
    );
    expect(long.body).toMatchObject({ code: 'idempotency_key_too_long' });
    expect(await execute()).not.toBe(await execute());
  });

  test.each([
    ['an unknown agent', 'absent', { prompt: 'x' }, 404, 'agent_not_found'],
    ['an unknown queue', 'default', { prompt: 'x', worker_queue_id: 'absent' }, 404, 'queue_not_found'],
    ['no prompt', 'default', {}, 422, 'invalid_request'],
    ['a blank prompt', 'default', { prompt: ' \n ' }, 422, 'invalid_request'],
    ['a prompt that is too long', 'default', { prompt: 'x'.repeat(200_001) }, 422, 'invalid_request'],
    [
      'a system prompt that is too long',
      'default',
      { prompt: 'x', system_prompt: 'x'.repeat(1_100_000) },
      413,
      'execution_too_large',
    ],
  ])('%s is refused and leaves no row', async (_name, agent, body, status, code) => {
    const before = (await call('GET', '/api/v1/executions?limit=200')).body;
    const answer = await call('POST', `/api/v1/agents/${agent}/execute`, body);
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({ code });
    expect((await call('GET', '/api/v1/executions?limit=200')).body).toEqual(before);
  });

  test('without a queue: the only one with a live worker, else default', async () => {
    const queue = await call('POST', '/api/v1/environments/default/worker-queues', { name: 'lively' });
    const register = async (name: string): Promise<string> => {
      const { body } = await call('POST', `/api/v1/worker-queues/${name}/start`);
      await call('POST', `/api/v1/workers/${String(body['worker_id'])}/heartbeat`, {});
      return String(body['worker_id']);
    };
    const one = await register('lively');
    expect(await get(await execute())).toMatchObject({ worker_queue_id: queue.body['id'] });
    const two = await register('default');
    expect(await get(await execute())).toMatchObject({ runner_name: 'default' });
    for (const worker of [one, two]) await call('POST', `/api/v1/workers/${worker}/disconnect`, {});
  });

  test('a queue for a single execution takes one', async () => {
    const queue = { name: 'single', ephemeral: true, single_execution_mode: true, auto_cleanup_after_seconds: 600 };
    await call('POST', '/api/v1/environments/default/worker-queues', queue);
    const key = { 'idempotency-key': 'single-1' };
    const id = await execute({ worker_queue_id: 'single' }, key);
    expect(await execute({ worker_queue_id: 'single' }, key)).toBe(id);
    const second = await call('POST', '/api/v1/agents/default/execute', { prompt: 'x', worker_queue_id: 'single' });
    expect(second.status).toBe(409);
    expect(second.body).toMatchObject({ code: 'queue_claimed' });
    expect((await call('GET', '/api/v1/worker-queues/single/executions')).body).toMatchObject([
      { id, status: 'pending' },
    ]);
    // What it starts itself has the same worker, also from a member of a team; what only says so has not.
    const from = (parent: string, depth = 1) => ({
      prompt: 'x',
      worker_queue_id: 'single',
      depth,
      user_metadata: { parent_execution_id: parent },
    });
    const other = await execute();
    for (const [body, status] of [
      [from(id), 200],
      [from(`${id}/member/1`), 200],
      [from(id, 0), 409],
      [from(other), 409],
      [from('nobody'), 409],
    ] as const)
      expect((await call('POST', '/api/v1/agents/default/execute', body)).status).toBe(status);
    // Deleting the queue cancels what waits for it.
    expect((await call('DELETE', '/api/v1/worker-queues/single')).status).toBe(204);
    expect(await ended(id)).toMatchObject({ status: 'cancelled' });
    expect(await temporal.describe(agentWorkflowId(id))).toMatchObject({ kind: 'closed', status: 'terminated' });
  }, 20_000);
});

describe('report', () => {
  test('a terminal status is final, and appends status and done once', async () => {
    const id = await execute();
    expect((await call('PATCH', `/api/v1/executions/${id}`, { status: 'running' })).body).toMatchObject({
      status: 'running',
      started_at: expect.any(String),
    });
    await call('PATCH', `/api/v1/executions/${id}`, { status: 'running', usage: { input_tokens: 5 } });
    const final = { status: 'completed', response: 'the answer', usage: { input_tokens: 7 } };
    expect((await call('PATCH', `/api/v1/executions/${id}`, final)).body).toMatchObject({
      ...final,
      completed_at: expect.any(String),
    });
    expect((await call('PATCH', `/api/v1/executions/${id}`, final)).status).toBe(200);
    const late = await call('PATCH', `/api/v1/executions/${id}`, { status: 'running', response: 'no' });
    expect(late.body).toMatchObject(final);
    expect((await eventsOf(id)).map(({ event_type, data }) => [event_type, data['status']])).toEqual([
      ['status', 'running'],
      ['status', 'completed'],
      ['done', 'completed'],
    ]);
    const done = (await eventsOf(id)).at(-1)?.data;
    expect(done).toMatchObject({
      execution_id: id,
      response: 'the answer',
      usage: { input_tokens: 7 },
      duration_ms: expect.any(Number),
    });
    expect((await call('PATCH', `/api/v1/executions/${id}`, { status: 'nonsense' })).status).toBe(422);
  });

  test('lists filter by status, agent and queue, newest first', async () => {
    const id = await execute();
    await call('PATCH', `/api/v1/executions/${id}`, { status: 'failed', error_message: 'no' });
    const list = async (parameters: string) =>
      (await call('GET', `/api/v1/executions?${parameters}`)).body as unknown as { id: string; status: string }[];
    expect((await list('limit=1'))[0]?.id).toBe(id);
    expect((await list('status=FAILED')).every(({ status }) => status === 'failed')).toBe(true);
    expect((await list('status_filter=failed&agent_id=default'))[0]?.id).toBe(id);
    expect(await list('agent_id=absent')).toEqual([]);
    expect((await list('limit=1&skip=1'))[0]?.id).not.toBe(id);
  });
});

describe('steering', () => {
  test('message, mark-done, pause and resume arrive signed, with ids', async () => {
    const id = await execute({ is_conversation: true });
    const message = await call('POST', `/api/v1/executions/${id}/message`, { message: 'go on', message_id: 'm-1' });
    expect(message.status).toBe(202);
    expect(message.body).toMatchObject({ success: true, message_id: 'm-1' });
    expect((await call('POST', `/api/v1/executions/${id}/pause`)).body).toMatchObject({
      success: true,
      workflow_id: agentWorkflowId(id),
    });
    expect((await call('POST', `/api/v1/executions/${id}/resume`)).body).toMatchObject({ success: true });
    expect((await call('POST', `/api/v1/executions/${id}/mark-done`)).status).toBe(202);
    const control = { execution_id: id, request_id: expect.any(String) };
    expect((await historyOf(id)).signals).toEqual([
      {
        name: 'add_message',
        value: { role: 'user', content: 'go on', message_id: 'm-1', execution_id: id, timestamp: expect.any(String) },
      },
      { name: 'pause_execution', value: control },
      { name: 'resume_execution', value: control },
      { name: 'mark_as_done', value: control },
    ]);
    await call('PATCH', `/api/v1/executions/${id}`, { status: 'completed' });
    expect((await call('POST', `/api/v1/executions/${id}/message`, { message: 'late' })).body).toMatchObject({
      code: 'execution_not_open',
    });
    for (const verb of ['pause', 'resume', 'cancel']) {
      const answer = await call('POST', `/api/v1/executions/${id}/${verb}`);
      expect(answer.status).toBe(200);
      expect(answer.body).toMatchObject({
        success: false,
        status: 'completed',
        error: 'The execution is already completed',
      });
    }
  });

  test('a message whose id is that of another event takes nobody’s place', async () => {
    const id = await execute({ is_conversation: true });
    const say = (message_id: string) => call('POST', `/api/v1/executions/${id}/message`, { message: 'hi', message_id });
    expect((await say('server:done')).status).toBe(202);
    expect((await say('m'.repeat(151))).status).toBe(422);
    await call('PATCH', `/api/v1/executions/${id}`, { status: 'completed' });
    const events = (await call('GET', `/api/v1/executions/${id}/events`)).body as unknown as { event_type: string }[];
    expect(events.map(({ event_type }) => event_type)).toEqual(['message', 'status', 'done']);
  });

  test('a cancel without a live worker ends the execution; with one it waits for the worker', async () => {
    const id = await execute({ worker_queue_id: 'default' });
    expect((await call('POST', `/api/v1/executions/${id}/cancel`)).body).toMatchObject({ success: true });
    expect(await ended(id)).toMatchObject({
      status: 'cancelled',
      error_message: expect.stringContaining('no live worker'),
    });

    const worker = await call('POST', '/api/v1/worker-queues/default/start');
    await call('POST', `/api/v1/workers/${String(worker.body['worker_id'])}/heartbeat`, {});
    const held = await execute({ worker_queue_id: 'default' });
    await call('POST', `/api/v1/executions/${held}/cancel`);
    await Bun.sleep(2_500);
    expect(await get(held)).toMatchObject({ status: 'pending' });
    expect(await temporal.describe(agentWorkflowId(held))).toEqual({ kind: 'open' });
    await call('POST', `/api/v1/workers/${String(worker.body['worker_id'])}/disconnect`, {});
    expect(await ended(held)).toMatchObject({ status: 'cancelled' });
  }, 30_000);
});

describe('reconciler', () => {
  test('a workflow that was terminated behind our back ends the execution, after a grace for the report', async () => {
    const id = await execute();
    await temporal.terminate(agentWorkflowId(id), 'somebody did');
    const before = Date.now();
    expect(await ended(id)).toMatchObject({ status: 'terminated', error_message: 'The workflow was terminated' });
    expect(Date.now() - before).toBeGreaterThan(2_500);
    expect((await eventsOf(id)).map(({ event_type: type }) => type)).toEqual(['status', 'done']);
  }, 20_000);

  test('a workflow that completed or failed without a report gives its own outcome', async () => {
    const queue = await call('POST', '/api/v1/environments/default/worker-queues', { name: 'raw' });
    const codec = createPayloadSignatureCodec(signingKey);
    const encoder = new TextEncoder();
    /** Answers the next workflow task as a worker would. */
    const answer = async (command: Record<string, unknown>): Promise<void> => {
      const poll = { namespace: 'default', taskQueue: { name: String(queue.body['id']) }, identity: 'test' };
      const { taskToken } = await raw.withDeadline(Date.now() + 20_000, () =>
        raw.workflowService.pollWorkflowTaskQueue(poll),
      );
      await raw.workflowService.respondWorkflowTaskCompleted({
        namespace: 'default',
        taskToken,
        commands: [command],
        identity: 'test',
      });
    };
    const completed = await execute({ worker_queue_id: 'raw' });
    const result = { success: true, status: 'completed', response: 'from the workflow', usage: { output_tokens: 3 } };
    const [payload] = await codec.encode<SignedPayload>([
      { metadata: { encoding: encoder.encode('json/plain') }, data: encoder.encode(JSON.stringify(result)) },
    ]);
    // COMPLETE_WORKFLOW_EXECUTION and FAIL_WORKFLOW_EXECUTION of Temporal's CommandType.
    await answer({ commandType: 4, completeWorkflowExecutionCommandAttributes: { result: { payloads: [payload] } } });
    const failed = await execute({ worker_queue_id: 'raw' });
    const failure = { message: 'the bug', applicationFailureInfo: { type: 'Error', nonRetryable: true } };
    await answer({ commandType: 5, failWorkflowExecutionCommandAttributes: { failure } });

    expect(await ended(completed)).toMatchObject({
      status: 'completed',
      response: 'from the workflow',
      usage: { output_tokens: 3 },
    });
    expect(await ended(failed)).toMatchObject({ status: 'failed', error_message: 'The workflow failed: the bug' });
  }, 30_000);

  test('a workflow that Temporal has forgotten is a failure with a sentence', async () => {
    const id = await execute();
    await raw.workflowService.deleteWorkflowExecution({
      namespace: 'default',
      workflowExecution: { workflowId: agentWorkflowId(id) },
    });
    expect(await ended(id)).toMatchObject({
      status: 'failed',
      error_message: expect.stringContaining('does not know this execution'),
    });
  }, 20_000);
});

describe('outages', () => {
  test('while Temporal is down an execution waits, and starts when it is back, also after a restart of the server', async () => {
    const databasePath = join(directory, 'outage.sqlite');
    const down = await startTestServer(absentTemporal, { databasePath });
    const asked = callerOf(down.url);
    const key = { 'idempotency-key': 'outage' };
    const refused = await asked('POST', '/api/v1/agents/default/execute', { prompt: 'later' }, key);
    expect(refused.status).toBe(503);
    expect(refused.body).toMatchObject({ code: 'temporal_unavailable', retryable: true });
    const id = String(refused.body['execution_id']);
    const cancelled = await asked('POST', '/api/v1/agents/default/execute', { prompt: 'never' });
    const neverId = String(cancelled.body['execution_id']);
    expect((await asked('POST', `/api/v1/executions/${neverId}/cancel`)).body).toMatchObject({ success: true });
    expect((await asked('GET', `/api/v1/executions/${neverId}`)).body).toMatchObject({ status: 'cancelled' });
    expect((await asked('GET', `/api/v1/executions/${id}`)).body).toMatchObject({ status: 'pending' });
    await down.stop();

    const up = await startTestServer(devServer.address, { databasePath });
    await waitFor(
      () => temporal.describe(agentWorkflowId(id)),
      ({ kind }) => kind === 'open',
    );
    expect(await temporal.describe(agentWorkflowId(neverId))).toEqual({ kind: 'missing' });
    const again = await callerOf(up.url)('POST', '/api/v1/agents/default/execute', { prompt: 'later' }, key);
    expect(again).toMatchObject({ status: 200, body: { execution_id: id } });
    await up.stop();
  }, 40_000);

  test('a Temporal that refuses ends the execution with its reason', async () => {
    const wrong = await startTestServer(devServer.address, {
      temporal: { address: devServer.address, namespace: 'absent', isLocal: true },
    });
    const asked = callerOf(wrong.url);
    const answer = await asked('POST', '/api/v1/agents/default/execute', { prompt: 'x' });
    expect(answer.status).toBe(502);
    expect(answer.body).toMatchObject({ code: 'temporal_refused', retryable: false });
    expect((await asked('GET', `/api/v1/executions/${String(answer.body['execution_id'])}`)).body).toMatchObject({
      status: 'failed',
    });
    await wrong.stop();
  }, 20_000);

  test('a restart of Temporal goes unnoticed', async () => {
    const { spawner, groups } = createTestSpawner();
    const own = await startDevServer({
      executable: await temporalExecutable(),
      port: 0,
      databaseFile: join(directory, 'own.sqlite'),
      directory,
      spawner,
      log: quietLog,
      environment: { PATH: '/usr/bin:/bin' },
      probe: (address) => probeTemporal({ address, namespace: 'default', isLocal: true }),
    });
    const plane = await startTestServer(own.address);
    const asked = callerOf(plane.url);
    expect((await asked('POST', '/api/v1/agents/default/execute', { prompt: 'before' })).status).toBe(200);
    for (const group of groups) process.kill(-group, 'SIGKILL');
    expect((await asked('POST', '/api/v1/agents/default/execute', { prompt: 'during' })).status).toBe(200);
    await plane.stop();
    await own.stop();
  }, 40_000);
});
