// Executions that do not move, against the real Temporal: why, since when, stuck as a state, and the end by force.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { Connection } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import * as v from 'valibot';
import { createPayloadSignatureCodec, type SignedPayload } from '../../src/lib/payload-signature.ts';
import { inspectionSchema, type Inspection } from '../../src/protocol/control-plane.ts';
import { agentWorkflowId } from '../../src/protocol/workflow.ts';
import type { DevServer } from '../../src/server/dev-server.ts';
import type { ControlPlane } from '../../src/server/start.ts';
import {
  callerOf,
  createTestClock,
  signingKey,
  startTestServer,
  startTestTemporal,
  waitFor,
  type Answer,
  type Call,
} from './support.ts';

const enums = temporal.api.enums.v1;
const clock = createTestClock();
let devServer: DevServer;
let raw: Connection;
let server: ControlPlane;
let call: Call;

beforeAll(async () => {
  devServer = await startTestTemporal();
  raw = await Connection.connect({ address: devServer.address });
  server = await startTestServer(devServer.address, { clock });
  call = callerOf(server.url);
}, 60_000);
afterAll(async () => {
  await server.stop();
  await raw.close();
  await devServer.stop();
}, 60_000);

/** An execution on a queue of its own. */
async function execute(queue: string): Promise<{ id: string; queueId: string }> {
  const created = await call('POST', '/api/v1/environments/default/worker-queues', { name: queue });
  const queueId = String(created.body['id']);
  const answer = await call('POST', '/api/v1/agents/default/execute', { prompt: 'x', worker_queue_id: queueId });
  return { id: String(answer.body['execution_id']), queueId };
}
const get = async (id: string): Promise<Answer['body']> => (await call('GET', `/api/v1/executions/${id}`)).body;
const inspect = async (id: string): Promise<Inspection> =>
  v.parse(inspectionSchema, (await call('GET', `/api/v1/executions/${id}/inspect`)).body);
const notices = async (id: string): Promise<unknown[]> => {
  const { body } = await call('GET', `/api/v1/executions/${id}/events`);
  const events = body as unknown as { event_type: string; data: { code?: string } }[];
  return events.filter(({ event_type }) => event_type === 'notice').map(({ data }) => data.code);
};

/** The next workflow task of the queue, as any worker would get it. */
async function takeTask(queueId: string): Promise<Uint8Array> {
  const poll = { namespace: 'default', taskQueue: { name: queueId }, identity: 'the-test' };
  const { taskToken } = await raw.withDeadline(Date.now() + 20_000, () =>
    raw.workflowService.pollWorkflowTaskQueue(poll),
  );
  return taskToken;
}
const complete = (taskToken: Uint8Array, commands: Record<string, unknown>[]) =>
  raw.workflowService.respondWorkflowTaskCompleted({ namespace: 'default', taskToken, commands, identity: 'the-test' });

async function payloadOf(value: unknown): Promise<SignedPayload> {
  const encoder = new TextEncoder();
  const plain = { metadata: { encoding: encoder.encode('json/plain') }, data: encoder.encode(JSON.stringify(value)) };
  const [payload] = await createPayloadSignatureCodec(signingKey).encode<SignedPayload>([plain]);
  if (payload === undefined) throw new Error('nothing was signed');
  return payload;
}

test('an execution that no worker takes says so; one that is unknown is 404', async () => {
  const { id, queueId } = await execute('nobody');
  const seen = await inspect(id);
  expect(seen).toMatchObject({
    execution_id: id,
    status: 'pending',
    is_stuck: false,
    workflow_state: 'open',
    workflow_id: agentWorkflowId(id),
    event_count: 2,
    activities: [],
    workers: [],
    queue_id: queueId,
    queue_name: 'nobody',
    waits_for: 'a worker: nobody takes work from the queue nobody',
  });
  expect(seen.workflow_task).toMatchObject({ state: 'scheduled', attempt: 1, failure: null });
  expect((await call('GET', '/api/v1/executions/absent/inspect')).status).toBe(404);
});

test('a tool call that waits for the worker that holds its execution is shown so, with who polls there', async () => {
  const { id, queueId } = await execute('held');
  const input = { executionId: id, turn: 1, call: { callId: `${id}:1:0`, name: 'run_shell_command', arguments: '{}' } };
  const held = `${queueId}:of-a-worker`;
  await complete(await takeTask(queueId), [
    {
      commandType: enums.CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
      scheduleActivityTaskCommandAttributes: {
        activityId: '3',
        activityType: { name: 'callTool' },
        taskQueue: { name: held },
        input: { payloads: [await payloadOf(input)] },
        startToCloseTimeout: { seconds: 600 },
      },
    },
  ]);
  const seen = await inspect(id);
  expect(seen.waits_for).toBe(
    'the worker that holds its workspace, and a free slot of it, for the tool run_shell_command',
  );
  expect(seen.activities).toMatchObject([{ task_queue: held, state: 'scheduled' }]);
  const { taskToken } = await raw.withDeadline(Date.now() + 20_000, () =>
    raw.workflowService.pollActivityTaskQueue({
      namespace: 'default',
      taskQueue: { name: held },
      identity: 'the-holder',
    }),
  );
  expect(taskToken.length).toBeGreaterThan(0);
  expect((await inspect(id)).pollers).toContainEqual(expect.objectContaining({ identity: 'the-holder' }));
});

test('a call that failed is shown with its attempt, its failure, its turn and its next time', async () => {
  const { id, queueId } = await execute('calls');
  const callId = `${id}:3:0`;
  const input = { executionId: id, turn: 3, call: { callId, name: 'run_shell_command', arguments: '{}' } };
  const seconds = (count: number) => ({ seconds: count });
  await complete(await takeTask(queueId), [
    {
      commandType: enums.CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
      scheduleActivityTaskCommandAttributes: {
        activityId: '7',
        activityType: { name: 'callTool' },
        taskQueue: { name: queueId },
        input: { payloads: [await payloadOf(input)] },
        startToCloseTimeout: seconds(600),
        heartbeatTimeout: seconds(60),
        retryPolicy: { initialInterval: seconds(60), maximumInterval: seconds(60), maximumAttempts: 100 },
      },
    },
  ]);
  expect((await inspect(id)).waits_for).toBe('a worker with a free slot for the tool run_shell_command');
  const poll = { namespace: 'default', taskQueue: { name: queueId }, identity: 'the-test' };
  const { taskToken } = await raw.withDeadline(Date.now() + 20_000, () =>
    raw.workflowService.pollActivityTaskQueue(poll),
  );
  await raw.workflowService.recordActivityTaskHeartbeat({
    namespace: 'default',
    taskToken,
    details: { payloads: [await payloadOf({ output: 'half' })] },
  });
  const running = await inspect(id);
  expect(running.activities).toMatchObject([
    {
      activity_id: '7',
      type: 'callTool',
      state: 'started',
      attempt: 1,
      attempts_max: 100,
      call_id: callId,
      tool_name: 'run_shell_command',
      turn: 3,
      heartbeat: { output: 'half' },
      last_worker: 'the-test',
      last_failure: null,
      next_attempt_at: null,
    },
  ]);
  expect(running).toMatchObject({ turn: 3, waits_for: 'the tool run_shell_command (attempt 1)' });
  expect(running.activities[0]?.last_heartbeat_at).toMatch(/Z$/);
  const failure = { message: 'the provider is away', applicationFailureInfo: { type: 'kubiya.passing' } };
  await raw.workflowService.respondActivityTaskFailed({ namespace: 'default', taskToken, failure });
  const retried = await inspect(id);
  expect(retried.activities).toMatchObject([
    { state: 'scheduled', attempt: 2, last_failure: { message: 'the provider is away', type: 'kubiya.passing' } },
  ]);
  expect(retried.waits_for).toMatch(/^attempt 2 of the tool run_shell_command at .*Z: the provider is away$/);
  expect(retried.pollers.map(({ identity, kind }) => `${kind} ${identity}`)).toEqual(
    expect.arrayContaining(['workflow the-test', 'activity the-test']),
  );
}, 20_000);

test('a history that no worker can replay is a state with a reason and a notice, and over when one can', async () => {
  const { id, queueId } = await execute('versions');
  const failure = { message: '[TMPRL1100] Nondeterminism error: no such command\n  at somewhere' };
  const fail = async (cause: temporal.api.enums.v1.WorkflowTaskFailedCause): Promise<void> => {
    const taskToken = await takeTask(queueId);
    await raw.workflowService.respondWorkflowTaskFailed({ namespace: 'default', taskToken, cause, failure });
  };
  await fail(enums.WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR);
  const stuck = await waitFor(
    () => get(id),
    (body) => body['is_stuck'] === true,
  );
  expect(stuck['status']).toBe('pending');
  expect(stuck['status_reason']).toBe(
    'Its workers are of a version that cannot replay its history: [TMPRL1100] Nondeterminism error: no such command',
  );
  const seen = await inspect(id);
  expect(seen).toMatchObject({ is_stuck: true, waits_for: 'a worker that can replay its history' });
  expect(seen.workflow_task?.failure).toMatchObject({ cause: 'non_deterministic_error' });
  expect(seen.workflow_task?.attempt).toBeGreaterThanOrEqual(2);
  expect((await call('GET', '/api/v1/server')).body).toMatchObject({ stuck_executions: 1 });
  expect(await notices(id)).toEqual(['execution_stuck']);

  // The worker of the older version is back.
  await complete(await takeTask(queueId), []);
  await waitFor(
    () => get(id),
    (body) => body['is_stuck'] === false,
  );
  expect(await notices(id)).toEqual(['execution_stuck', 'execution_goes_on']);
}, 40_000);

test('a task that fails once for another reason is no trouble', async () => {
  const { id, queueId } = await execute('once');
  const taskToken = await takeTask(queueId);
  const failure = { message: 'a bug that passes' };
  const cause = enums.WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE;
  await raw.workflowService.respondWorkflowTaskFailed({ namespace: 'default', taskToken, cause, failure });
  await Bun.sleep(2_500);
  expect(await get(id)).toMatchObject({ is_stuck: false });
  const { workflow_task: task } = await inspect(id);
  expect(task).toMatchObject({ attempt: 2, failure: { message: 'a bug that passes' } });
}, 20_000);

test('terminate ends an execution at once, also one that Temporal has lost, and only once', async () => {
  const { id } = await execute('terminate');
  const path = `/api/v1/executions/${id}/terminate`;
  expect((await call('POST', path, { reason: 'x'.repeat(501) })).status).toBe(422);
  expect((await call('POST', path, { reason: 'wrong version' })).body).toMatchObject({ success: true });
  expect(await get(id)).toMatchObject({
    status: 'terminated',
    error_message: 'Terminated by a user: wrong version',
    is_stuck: false,
  });
  expect(await inspect(id)).toMatchObject({ workflow_state: 'closed', waits_for: 'nothing: it has ended' });
  expect((await call('POST', path, {})).body).toMatchObject({ success: false, status: 'terminated' });

  const lost = await execute('lost');
  const workflowExecution = { workflowId: agentWorkflowId(lost.id) };
  await raw.workflowService.deleteWorkflowExecution({ namespace: 'default', workflowExecution });
  expect((await call('POST', `/api/v1/executions/${lost.id}/terminate`, {})).body).toMatchObject({ success: true });
  expect(await get(lost.id)).toMatchObject({ status: 'terminated' });
  expect((await call('POST', '/api/v1/executions/absent/terminate', {})).status).toBe(404);
}, 20_000);

test('a workflow that the store has as ended, or does not know, is ended by the next server', async () => {
  const { id } = await execute('orphans');
  await call('PATCH', `/api/v1/executions/${id}`, { status: 'completed', response: 'done' });
  const isOpen = async (): Promise<boolean> => {
    const { workflowExecutionInfo: info } = await raw.workflowService.describeWorkflowExecution({
      namespace: 'default',
      execution: { workflowId: agentWorkflowId(id) },
    });
    return info?.status === enums.WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING;
  };
  expect(await isOpen()).toBe(true);
  // A server with another store: as after the restore of a backup that is older than this execution.
  const later = createTestClock();
  later.advance(20_000);
  const other = await startTestServer(devServer.address, { clock: later });
  try {
    await waitFor(isOpen, (open) => !open);
    expect(await get(id)).toMatchObject({ status: 'completed', response: 'done' });
  } finally {
    await other.stop();
  }
}, 30_000);
