// Jobs against the real Temporal: schedules that fire, stop, and come back after every way to lose one; runs and their history.
// One file because all of it shares one Temporal server and one control plane, which take a second to start.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { Client, Connection } from '@temporalio/client';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isRefused } from '../../src/lib/payload-refusal.ts';
import { createPayloadSignatureCodec } from '../../src/lib/payload-signature.ts';
import type { Job, JobExecution } from '../../src/protocol/jobs.ts';
import type { DevServer } from '../../src/server/dev-server.ts';
import type { ControlPlane } from '../../src/server/start.ts';
import {
  absentTemporal,
  callerOf,
  createTestClock,
  signingKey,
  startTestServer,
  startTestTemporal,
  waitFor,
  type Call,
} from './support.ts';

const directory = mkdtempSync(join(tmpdir(), 'kubiya-jobs-'));
let devServer: DevServer;
let server: ControlPlane;
let call: Call;
let temporal: Client;
let connection: Connection;

beforeAll(async () => {
  devServer = await startTestTemporal();
  connection = await Connection.connect({ address: devServer.address });
  temporal = new Client({
    connection,
    dataConverter: { payloadCodecs: [createPayloadSignatureCodec(signingKey)] },
  });
  server = await startTestServer(devServer.address, { clock });
  call = callerOf(server.url);
}, 60_000);
afterAll(async () => {
  await server.stop();
  await connection.close();
  await devServer.stop();
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

const clock = createTestClock();
let number = 0;
const created = async (body: Record<string, unknown>, caller = call): Promise<Job> => {
  const answer = await caller('POST', '/api/v1/jobs', { name: `job-${++number}`, prompt: 'say hello', ...body });
  expect(answer).toMatchObject({ status: 201 });
  return answer.body as unknown as Job;
};
const get = async (id: string, caller = call) => (await caller('GET', `/api/v1/jobs/${id}`)).body as unknown as Job;
const history = async (id: string) =>
  (await call('GET', `/api/v1/jobs/${id}/executions`)).body as unknown as JobExecution[];
const scheduleOf = (id: string) => temporal.schedule.getHandle(`kubiya-job-${id}`);
const describeSchedule = (id: string) =>
  scheduleOf(id)
    .describe()
    .catch(() => null);

describe('what is refused', () => {
  test.each([
    ['no name', { name: undefined }, 422, 'name'],
    ['no prompt', { prompt: undefined }, 400, 'no prompt'],
    ['an empty prompt', { prompt: ' \n' }, 422, 'prompt'],
    ['a cron of four fields', { cron_schedule: '0 9 * *' }, 422, 'has 4 fields instead of 5'],
    ['a cron of six fields', { cron_schedule: '0 0 9 * * 1' }, 422, 'has 6 fields instead of 5'],
    [
      'a wrong minute',
      { cron_schedule: '60 9 * * *' },
      422,
      'a wrong minute: \\"60\\" is not within 0–59; for example',
    ],
    ['a wrong day name', { cron_schedule: '0 9 * * MOX' }, 422, 'a wrong day of week'],
    ['a range backwards', { cron_schedule: '0 17-9 * * *' }, 422, 'ends before it begins'],
    ['a step of nothing', { cron_schedule: '*/0 * * * *' }, 422, 'step of 0'],
    ['a day that never comes', { cron_schedule: '0 0 30 2 *' }, 422, 'never comes'],
    ['an unknown shorthand', { cron_schedule: '@fortnightly' }, 422, 'unknown shorthand'],
    ['an unknown zone', { cron_schedule: '0 9 * * *', cron_timezone: 'Mars/Base' }, 422, 'no IANA time zone'],
    ['an offset for a zone', { cron_schedule: '0 9 * * *', cron_timezone: '+02:00' }, 422, 'no IANA time zone'],
    ['a zone without cron', { interval_seconds: 60, cron_timezone: 'UTC' }, 400, 'cron_timezone'],
    ['cron and interval', { cron_schedule: '0 9 * * *', interval_seconds: 60 }, 400, 'exclude each other'],
    ['an interval of 0', { interval_seconds: 0 }, 422, 'at least 1'],
    ['half a second', { interval_seconds: 0.5 }, 422, 'interval_seconds'],
    ['cron without times', { trigger_type: 'cron' }, 400, 'cron_schedule is missing'],
    ['a webhook with times', { trigger_type: 'webhook', interval_seconds: 60 }, 400, 'takes no interval_seconds'],
    ['a body that no time brings', { interval_seconds: 60, prompt: '{{.body.x}}' }, 400, 'names {{.body}}'],
    ['an unknown trigger', { trigger_type: 'moon' }, 422, 'trigger_type'],
    ['an unknown agent', { entity_id: 'nobody' }, 404, 'agent_not_found'],
    ['an unknown team', { entity_type: 'team', entity_id: 'nobody' }, 404, 'team_not_found'],
    ['an unknown queue', { worker_queue_id: 'nowhere' }, 404, 'queue_not_found'],
    ['an unknown overlap policy', { interval_seconds: 60, overlap_policy: 'maybe' }, 422, 'overlap_policy'],
    ['a negative limit', { limits: { turns: -1 } }, 422, 'limits'],
    ['a catch-up below what Temporal knows', { interval_seconds: 60, catch_up_seconds: 1 }, 422, 'at least 10'],
  ])('%s', async (_name, body, status, said) => {
    const answer = await call('POST', '/api/v1/jobs', { name: 'refused', prompt: 'x', ...body });
    expect(answer.status).toBe(status);
    expect(JSON.stringify(answer.body)).toContain(said);
    expect((await call('GET', '/api/v1/jobs/refused')).status).toBe(404);
  });

  test('a name that is taken, also by renaming', async () => {
    const { name, id } = await created({});
    const other = await created({});
    const answer = await call('POST', '/api/v1/jobs', { name, prompt: 'x' });
    expect(answer).toMatchObject({ status: 409, body: { code: 'name_taken' } });
    const renamed = await call('PATCH', `/api/v1/jobs/${other.id}`, { name });
    expect(renamed).toMatchObject({ status: 409, body: { code: 'name_taken' } });
    expect((await get(name)).id).toBe(id);
  });

  test('jobs are not for strangers', async () => {
    for (const path of ['/api/v1/jobs', '/api/v1/webhooks', '/api/v1/webhooks/x/y']) {
      expect((await fetch(`${server.url}${path}`)).status).toBe(401);
    }
    expect((await fetch(`${server.url}/api/v1/webhooks/x`)).status).toBe(401);
  });
});

describe('schedules', () => {
  test('one of a second fires with a signed input, one run at a time, until it is disabled, and again after that', async () => {
    const { id, name } = await created({ interval_seconds: 1, limits: { max_cost_usd: 1 } });
    const { info, action, policies } = await waitFor(
      () => scheduleOf(id).describe(),
      ({ info: now }) => now.numActionsTaken > 0 && now.numActionsSkippedOverlap > 0,
    );
    expect(info).toMatchObject({ numActionsTaken: 1, runningActions: [{}] });
    expect(policies).toMatchObject({ overlap: 'SKIP', catchupWindow: 60_000 });
    expect(action).toMatchObject({ workflowType: 'ScheduledJobWrapperWorkflow', workflowTaskTimeout: 3_000 });
    const workflowId = info.runningActions[0]?.workflow.workflowId ?? '';
    expect(workflowId).toStartWith(`scheduled-job-${id}-`);
    const run = await temporal.workflow.getHandle(workflowId).fetchHistory();
    const [payload] = run.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
    if (!payload) throw new Error('the run has no input');
    const [decoded] = await createPayloadSignatureCodec(signingKey).decode([payload]);
    const input: unknown = JSON.parse(new TextDecoder().decode(decoded?.data ?? new Uint8Array()));
    expect(isRefused(input)).toBe(false);
    expect(input).toMatchObject({
      agent_id: expect.any(String),
      prompt: 'say hello',
      limits: { max_cost_usd: 1 },
      user_metadata: { job_id: id, job_name: name, trigger_type: 'interval' },
    });

    const disabled = await call('POST', `/api/v1/jobs/${name}/disable`);
    expect(disabled.body).toMatchObject({ enabled: false, next_execution_at: null });
    await temporal.workflow.getHandle(workflowId).terminate('the test');
    const before = (await scheduleOf(id).describe()).info.numActionsTaken;
    await Bun.sleep(1_500);
    expect((await scheduleOf(id).describe()).info.numActionsTaken).toBe(before);
    expect((await call('POST', `/api/v1/jobs/${id}/enable`)).body).toMatchObject({ enabled: true });
    await waitFor(
      () => scheduleOf(id).describe(),
      ({ info: now }) => now.numActionsTaken > before,
    );

    expect((await call('DELETE', `/api/v1/jobs/${id}`)).status).toBe(204);
    expect(await describeSchedule(id)).toBeNull();
    expect((await call('DELETE', `/api/v1/jobs/${id}`)).status).toBe(404);
  }, 20_000);

  test('cron times are those of their zone, and day of month or day of week is enough', async () => {
    const { id, next_execution_at: next } = await created({
      cron_schedule: '30 9 * * MON-FRI',
      cron_timezone: 'America/New_York',
    });
    const local = new Date(String(next)).toLocaleString('en-GB', {
      timeZone: 'America/New_York',
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
    });
    expect(local).toMatch(/^(Mon|Tue|Wed|Thu|Fri),? 09:30$/);
    expect(await get(id)).toMatchObject({
      cron_schedule: '30 9 * * MON-FRI',
      cron_timezone: 'America/New_York',
      problem: null,
    });
    const either = await created({ cron_schedule: '0 0 13 * 5' });
    const days = (await scheduleOf(either.id).describe()).info.nextActionTimes.map((time) => [
      time.getUTCDay(),
      time.getUTCDate(),
    ]);
    expect(days.length).toBeGreaterThan(3);
    expect(days.every(([weekday, day]) => weekday === 5 || day === 13)).toBe(true);
    expect(days.filter(([, day]) => day !== 13).length).toBeGreaterThan(1);
  });

  test('a change reaches Temporal: other times, another kind, no times at all', async () => {
    const { id } = await created({ cron_schedule: '0 9 * * *' });
    const changed = await call('PATCH', `/api/v1/jobs/${id}`, {
      cron_schedule: '0 10 * * *',
      prompt_template: 'other',
      overlap_policy: 'buffer_one',
    });
    expect(changed.body).toMatchObject({ cron_schedule: '0 10 * * *', prompt_template: 'other', cron_timezone: 'UTC' });
    const described = await scheduleOf(id).describe();
    expect(described.info.nextActionTimes[0]?.getUTCHours()).toBe(10);
    expect(described.policies.overlap).toBe('BUFFER_ONE');
    await call('PATCH', `/api/v1/jobs/${id}`, { interval_seconds: 3600 });
    expect(await get(id)).toMatchObject({ trigger_type: 'interval', cron_schedule: null, interval_seconds: 3600 });
    await call('PATCH', `/api/v1/jobs/${id}`, { trigger_type: 'manual' });
    expect(await describeSchedule(id)).toBeNull();
    expect(await get(id)).toMatchObject({
      trigger_type: 'manual',
      temporal_schedule_id: null,
      next_execution_at: null,
    });
  });

  test('the agent is gone: the schedule rests and the job says why', async () => {
    const agent = (await call('POST', '/api/v1/agents', { name: 'mortal' })).body;
    const { id } = await created({ interval_seconds: 3600, entity_id: 'mortal' });
    await call('DELETE', `/api/v1/agents/${String(agent['id'])}`);
    expect(await get(id)).toMatchObject({ problem: 'Its agent was deleted' });
    expect(await call('POST', `/api/v1/jobs/${id}/trigger`)).toMatchObject({
      status: 409,
      body: { code: 'job_broken' },
    });
    await call('POST', `/api/v1/jobs/${id}/enable`);
    expect((await describeSchedule(id))?.state.paused).toBe(true);
  });
});

describe('a server that goes away', () => {
  const databasePath = join(directory, 'jobs.db');
  const withServer = async <T>(address: string, run: (caller: Call) => Promise<T>): Promise<T> => {
    const own = await startTestServer(address, { databasePath });
    try {
      return await run(callerOf(own.url));
    } finally {
      await own.stop();
    }
  };

  test('between database and Temporal: what was answered becomes true, for creation, change and removal', async () => {
    // A server that ends before Temporal has heard of it is one whose Temporal does not answer.
    const [kept, removed] = await withServer(absentTemporal, async (caller) => [
      await created({ interval_seconds: 3600 }, caller),
      await created({ interval_seconds: 3600 }, caller),
    ]);
    expect(kept?.problem).toContain('Temporal has not heard');
    const ids = [kept?.id ?? '', removed?.id ?? ''] as const;
    await withServer(devServer.address, async (caller) => {
      for (const id of ids)
        await waitFor(
          () => describeSchedule(id),
          (found) => found !== null,
        );
      expect(await get(ids[0], caller)).toMatchObject({ problem: null, next_execution_at: expect.any(String) });
    });
    await withServer(absentTemporal, async (caller) => {
      await caller('DELETE', `/api/v1/jobs/${ids[1]}`);
      await caller('POST', `/api/v1/jobs/${ids[0]}/disable`);
    });
    await withServer(devServer.address, async () => {
      await waitFor(
        () => describeSchedule(ids[1]),
        (found) => found === null,
      );
      await waitFor(
        () => describeSchedule(ids[0]),
        (found) => found?.state.paused === true,
      );
    });
    // Lost by Temporal, and one that no job knows.
    await scheduleOf(ids[0]).delete();
    const action = { type: 'startWorkflow', workflowType: 'x', taskQueue: 'q', args: [] } as const;
    await temporal.schedule.create({
      scheduleId: 'kubiya-job-stranger',
      spec: { intervals: [{ every: '1h' }] },
      action,
    });
    await temporal.schedule.create({ scheduleId: 'of-somebody-else', spec: { intervals: [{ every: '1h' }] }, action });
    await waitFor(
      async () => (await Array.fromAsync(temporal.schedule.list())).map(({ scheduleId }) => scheduleId),
      (listed) => listed.includes('kubiya-job-stranger'),
    );
    await withServer(devServer.address, async () => {
      await waitFor(
        () => describeSchedule(ids[0]),
        (found) => found !== null,
      );
      await waitFor(
        () => describeSchedule('stranger'),
        (found) => found === null,
      );
    });
    expect((await temporal.schedule.getHandle('of-somebody-else').describe()).scheduleId).toBe('of-somebody-else');
  }, 60_000);
});

describe('runs', () => {
  test('a trigger starts one with the metadata of its job, once for a key, and its history tells', async () => {
    const job = await created({
      system_prompt: 'Be kind',
      model_id: 'kubiya/offline',
      execution_environment: { timeout: 60 },
    });
    await call('POST', `/api/v1/jobs/${job.id}/disable`);
    const first = await call('POST', `/api/v1/jobs/${job.name}/trigger`, {}, { 'idempotency-key': 'once' });
    expect(first).toMatchObject({ status: 202, body: { job_id: job.id } });
    const again = await call('POST', `/api/v1/jobs/${job.id}/trigger`, {}, { 'idempotency-key': 'once' });
    expect(again.body).toEqual(first.body);
    const execution = (await call('GET', `/api/v1/executions/${String(first.body['execution_id'])}`)).body;
    expect(execution).toMatchObject({
      prompt: 'say hello',
      system_prompt: 'Be kind',
      model_id: 'kubiya/offline',
      execution_metadata: { job_id: job.id, job_name: job.name, trigger_type: 'manual' },
    });
    const second = (await call('POST', `/api/v1/jobs/${job.id}/trigger`)).body;
    await call('POST', `/api/v1/executions/${String(second['execution_id'])}/terminate`, {});
    expect(await history(job.id)).toMatchObject([
      { execution_id: second['execution_id'], trigger_type: 'manual', status: 'terminated' },
      { execution_id: first.body['execution_id'] },
    ]);
    expect(await get(job.id)).toMatchObject({
      total_executions: 2,
      failed_executions: 1,
      last_execution_id: second['execution_id'],
      last_execution_status: 'terminated',
    });
  });

  test('a prompt with fields takes them from the body of the trigger, as data', async () => {
    const { id } = await created({
      prompt: 'Look at {{.body.repository.name}}: {{ .body.title }} {{.body}} {{.other}}',
    });
    const trigger = (body?: unknown) =>
      call('POST', `/api/v1/jobs/${id}/trigger`, body === undefined ? undefined : { body });
    const title = 'x"\n\n`rm -rf /` {{.body.repository.name}} $1 $&';
    const answer = await trigger({ repository: { name: 'kubiya/cli' }, title });
    const { prompt } = (await call('GET', `/api/v1/executions/${String(answer.body['execution_id'])}`)).body;
    const quoted = JSON.stringify(title).replaceAll('`', String.raw`\u0060`);
    const whole = `{"repository":{"name":"kubiya/cli"},"title":${quoted}}`;
    expect(prompt).toBe(`Look at kubiya/cli: ${quoted} ${whole} {{.other}}`);
    for (const body of [undefined, {}, { title: 'x' }, { repository: 'name', title: 'x' }, [1]]) {
      expect(await trigger(body)).toMatchObject({ status: 422, body: { code: 'prompt_not_rendered' } });
    }
    expect(await trigger({ repository: { name: 'x' }, title: 'y'.repeat(150_000) })).toMatchObject({ status: 422 });
  });

  test('a scheduled run writes its execution down once, and it waits for its run but not for ever', async () => {
    const { id } = await created({ interval_seconds: 1 });
    const { info } = await waitFor(
      () => scheduleOf(id).describe(),
      ({ info: now }) => now.runningActions.length > 0,
    );
    await call('POST', `/api/v1/jobs/${id}/disable`);
    const workflowId = info.runningActions[0]?.workflow.workflowId ?? '';
    const executionId = crypto.randomUUID();
    const body = {
      execution_id: executionId,
      job_id: id,
      entity_type: 'agent',
      prompt: 'say hello',
      trigger_type: 'interval',
      trigger_metadata: { workflow_id: workflowId },
    };
    for (let attempt = 0; attempt < 2; attempt += 1)
      expect(await call('POST', '/api/v1/executions/create', body)).toMatchObject({
        status: 201,
        body: { id: executionId },
      });
    expect(await history(id)).toMatchObject([
      { execution_id: executionId, trigger_type: 'interval', status: 'pending' },
    ]);
    // Two rounds of the reconciler with its grace between them, in which Temporal does not know the execution.
    await Bun.sleep(2_200);
    clock.advance(10_000);
    await Bun.sleep(2_200);
    expect(await history(id)).toMatchObject([{ status: 'pending' }]);
    await temporal.workflow.getHandle(workflowId).terminate('the test');
    await waitFor(
      () => {
        clock.advance(1_000);
        return history(id);
      },
      ([run]) => run?.status === 'failed',
    );
  }, 30_000);

  test('the end of a run that never began is what its worker says, and no end is changed', async () => {
    const { id } = await created({});
    const executionId = crypto.randomUUID();
    await call('POST', '/api/v1/executions/create', {
      execution_id: executionId,
      job_id: id,
      entity_type: 'AGENT',
      prompt: 'x',
    });
    const report = (body: Record<string, unknown>) =>
      call('POST', `/api/v1/executions/${executionId}/job/${id}/status`, body);
    expect((await report({ status: 'running' })).status).toBe(202);
    // Its answer comes with the report of its own worker.
    expect((await report({ status: 'completed' })).status).toBe(202);
    expect(await history(id)).toMatchObject([{ status: 'pending' }]);
    expect((await report({ status: 'FAILED', error_message: 'no such agent', duration_ms: 5 })).status).toBe(202);
    expect((await report({ status: 'completed' })).status).toBe(202);
    expect(await history(id)).toMatchObject([{ status: 'failed', error_message: 'no such agent' }]);
    const stray = { execution_id: crypto.randomUUID(), job_id: 'gone', entity_type: 'agent', prompt: 'x' };
    expect((await call('POST', '/api/v1/executions/create', stray)).status).toBe(404);
    expect((await call('POST', '/api/v1/executions/create', { ...stray, execution_id: '../x' })).status).toBe(422);
  });
});
