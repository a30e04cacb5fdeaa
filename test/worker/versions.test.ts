// A history that another version wrote: the worker says that it cannot replay it, the execution is stuck, and terminate ends it.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { Connection } from '@temporalio/client';
import { temporal as proto } from '@temporalio/proto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Inspection } from '../../src/protocol/control-plane.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import { failureOf, type Lab, queueName, startLab } from './lab.ts';

let lab: Lab;
let temporal: Connection;
beforeAll(async () => {
  lab = await startLab({ KUBIYA_MODEL: 'kubiya/offline' });
  temporal = await Connection.connect({ address: lab.server.temporalAddress });
}, 90_000);
afterAll(async () => {
  await temporal.close();
  await lab.stop();
}, 60_000);

/** An execution whose first step was taken by a worker of another version; the lab's worker then takes the queue over. */
async function foreignExecution(): Promise<{ id: string; queueId: string }> {
  const name = `versions-${Date.now()}`;
  const queue = await lab.server.request('POST', '/api/v1/environments/default/worker-queues', { name });
  const queueId = (queue as { id: string }).id;
  const id = await lab.server.execute('run `echo never`', queueId);
  const poll = { namespace: 'default', taskQueue: { name: queueId }, identity: 'another-version' };
  const { taskToken } = await temporal.withDeadline(Date.now() + 20_000, () =>
    temporal.workflowService.pollWorkflowTaskQueue(poll),
  );
  await temporal.workflowService.respondWorkflowTaskCompleted({
    namespace: 'default',
    taskToken,
    identity: 'another-version',
    commands: [
      {
        // This version begins with a local activity.
        commandType: proto.api.enums.v1.CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
        scheduleActivityTaskCommandAttributes: {
          activityId: '1',
          activityType: { name: 'callAnother' },
          taskQueue: { name: queueId },
          startToCloseTimeout: { nanos: 500_000_000 },
        },
      },
    ],
  });
  await lab.server.request('POST', `/api/v1/executions/${id}/message`, { message: 'go on' });
  return { id, queueId };
}

test('a worker that cannot replay a history says so, status and inspect show it, and terminate ends it', async () => {
  const { id, queueId } = await foreignExecution();
  const worker = await startWorkerProcess({ home: lab.home, queue: queueId, words: ['--model', 'kubiya/offline'] });
  const [line] = await worker.process.waitFor(/^.*cannot be replayed by this version.*$/m);
  expect(JSON.parse(line)).toMatchObject({ level: 50, reason: expect.stringContaining('Nondeterminism error') });
  await until(async () => (await lab.server.execution(id)).is_stuck === true, { what: () => 'it is stuck' });

  const list = await lab.run(['execution', 'list']);
  expect(list.stdout).toMatch(new RegExp(`^${id} +pending \\(stuck\\) `, 'm'));
  const inspected = await lab.run(['execution', 'inspect', id]);
  expect(inspected.stdout).toMatch(/^status +pending, stuck$/m);
  expect(inspected.stdout).toMatch(/^waits for +a worker that can replay its history$/m);
  expect(inspected.stdout).toMatch(/^ +last failure: non_deterministic_error: .*Nondeterminism error/m);
  expect(inspected.stdout).toMatch(new RegExp(`^workers +${worker.workerId} on `, 'm'));
  const logs = await lab.run(['execution', 'logs', id]);
  expect(logs.stdout + logs.stderr).toContain(`kubiya execution terminate ${id}`);

  const refused = await lab.run(['execution', 'terminate', id]);
  expect(refused.code).toBe(2);
  expect(failureOf(refused).hint).toContain('--yes');
  const ended = await lab.run(['execution', 'terminate', id, '--reason', 'older version', '--yes']);
  expect(ended.code).toBe(0);
  const json = await lab.run(['execution', 'get', id, '--json']);
  expect(JSON.parse(json.stdout)).toMatchObject({
    status: 'terminated',
    error_message: 'Terminated by a user: older version',
    is_stuck: false,
    status_reason: null,
  });
  expect((await lab.run(['execution', 'terminate', id, '--yes'])).code).toBe(4);
  await worker.process.end('SIGTERM');
}, 60_000);

test('terminate stops the tools of a live worker; inspect shows the call and what the journal has of it', async () => {
  const mark = join(lab.home.directory, 'running');
  const id = await lab.server.execute(`run \`echo seen; touch ${mark}; sleep 300\``, queueName);
  await until(() => existsSync(mark), { what: () => 'the tool runs' });
  const hasOutput = async (): Promise<boolean> =>
    (await lab.run(['execution', 'inspect', id])).stdout.includes('started, attempts 1\n               seen');
  await until(hasOutput, { what: () => 'the journal has its output' });
  const { inspection, journals } = JSON.parse((await lab.run(['execution', 'inspect', id, '--json'])).stdout) as {
    inspection: Inspection;
    journals: unknown[];
  };
  expect(inspection).toMatchObject({
    status: 'running',
    turn: 1,
    waits_for: 'the tool run_shell_command (attempt 1)',
    activities: [
      { type: 'callTool', tool_name: 'run_shell_command', state: 'started', attempt: 1, last_failure: null },
    ],
  });
  expect(journals).toMatchObject([{ calls: [{ state: 'finished' }, { state: 'started', output: 'seen\n' }] }]);
  const isRunning = (): boolean => lab.home.processes().some((one) => one.includes('sleep 300'));
  expect(isRunning()).toBe(true);
  expect((await lab.run(['execution', 'terminate', id, '--yes'])).code).toBe(0);
  await until(() => !isRunning(), { limitMs: 10_000, what: () => 'the tool has ended' });
  expect(await lab.server.execution(id)).toMatchObject({ status: 'terminated' });
}, 60_000);

test('pause and resume; a control plane that cannot be inspected is said to be one', async () => {
  const id = await lab.server.execute('run `sleep 1`, `echo later`', queueName);
  await until(async () => (await lab.server.execution(id)).status === 'running', { what: () => 'it runs' });
  expect((await lab.run(['execution', 'pause', id])).code).toBe(0);
  await until(async () => (await lab.server.execution(id)).status === 'paused', { what: () => 'it is paused' });
  const { stdout } = await lab.run(['execution', 'inspect', id]);
  expect(stdout).toMatch(/^waits for +somebody who resumes it$/m);
  expect((await lab.run(['execution', 'resume', id, '--json'])).stdout).toContain('"success":true');
  expect(await lab.server.ended(id, 20_000)).toMatchObject({ status: 'completed' });
  expect((await lab.run(['execution', 'pause', id])).code).toBe(4);

  // The cloud's: it has executions and no such route.
  const cloud = Bun.serve({
    port: 0,
    fetch: (request) =>
      new URL(request.url).pathname.endsWith('/inspect')
        ? Response.json({ detail: 'Not Found' }, { status: 404 })
        : Response.json({ id, status: 'RUNNING', prompt: 'x', created_at: '2026-01-01T00:00:00' }),
  });
  try {
    const environment = { KUBIYA_API_KEY: 'key', CONTROL_PLANE_URL: `http://127.0.0.1:${cloud.port}` };
    const other = await lab.run(['execution', 'inspect', id], { environment });
    expect(other.code).toBe(0);
    expect(other.stderr).toContain('cannot be asked more');
    expect(other.stdout).toMatch(/^status +running$/m);
    expect(other.stdout).toMatch(/^journal +\//m);
  } finally {
    await cloud.stop(true);
  }
}, 60_000);
