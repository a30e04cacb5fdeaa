// The API over real HTTP: who may ask, what is refused and how, and the life of queues, workers, agents and skills.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  agentSchema,
  problemSchema,
  queueSchema,
  workerSchema,
  workerStartResponseSchema,
} from '../../src/protocol/control-plane.ts';
import type { ControlPlane } from '../../src/server/start.ts';
import * as v from 'valibot';
import {
  absentTemporal,
  callerOf,
  createTestClock,
  failureOf,
  signingKey,
  startTestServer,
  testToken,
  waitFor,
  type Call,
} from './support.ts';

const clock = createTestClock();
let server: ControlPlane;
let call: Call;

beforeAll(async () => {
  server = await startTestServer(absentTemporal, { clock });
  call = callerOf(server.url);
});
afterAll(() => server.stop());

const newQueue = async (body: Record<string, unknown>): Promise<Record<string, unknown>> => {
  const answer = await call('POST', '/api/v1/environments/default/worker-queues', body);
  expect(answer.status).toBe(201);
  v.parse(queueSchema, answer.body);
  return answer.body;
};

describe('token', () => {
  test.each([
    ['Bearer', `Bearer ${testToken}`],
    ['UserKey', `UserKey ${testToken}`],
    ['the old mis-spelling', `Baerer ${testToken}`],
    ['bare', testToken],
    ['any case', `bearer  ${testToken} `],
  ])('%s is accepted', async (_name, authorization) => {
    expect((await fetch(`${server.url}/api/v1/agents`, { headers: { authorization } })).status).toBe(200);
  });

  test('the header UserKey is accepted', async () => {
    expect((await fetch(`${server.url}/api/v1/agents`, { headers: { userkey: testToken } })).status).toBe(200);
  });

  test.each([
    ['none', {}],
    ['a wrong one', { authorization: 'Bearer wrong' }],
    ['a prefix', { authorization: `Bearer ${testToken.slice(0, -1)}` }],
    ['an empty one', { authorization: 'Bearer ' }],
  ])('%s is 401 with a hint, on every path but the open ones', async (_name, headers: Record<string, string>) => {
    for (const path of ['/api/v1/agents', '/api/v1/models', '/nowhere']) {
      const response = await fetch(server.url + path, { headers });
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({
        detail: { error: 'Unauthorized', message: expect.any(String), hint: expect.stringContaining('Bearer') },
        code: 'unauthorized',
      });
    }
    for (const path of ['/health', '/api/health', '/api/ready', '/api/openapi.json']) {
      expect((await fetch(server.url + path, { headers })).status).toBe(200);
    }
  });

  test('a server with an empty token lets nobody in', async () => {
    const open = await startTestServer(absentTemporal, { token: '' });
    expect((await fetch(`${open.url}/api/v1/agents`)).status).toBe(401);
    expect((await fetch(`${open.url}/api/v1/agents`, { headers: { authorization: 'Bearer ' } })).status).toBe(401);
    await open.stop();
  });
});

describe('bad requests', () => {
  test('a field that is missing or wrong is 422 and its value is never repeated', async () => {
    const secret = 'hunter2-hunter2';
    const { status, body } = await call('POST', '/api/v1/skills', { name: 'x', type: secret, enabled: secret });
    expect(status).toBe(422);
    expect(JSON.stringify(body)).not.toContain(secret);
    expect(body).toMatchObject({
      code: 'invalid_request',
      detail: [
        { loc: ['body', 'type'], type: 'value_error' },
        { loc: ['body', 'enabled'], type: 'value_error' },
      ],
    });
    const missing = await call('POST', '/api/v1/agents', {});
    expect(missing.body).toMatchObject({ detail: [{ loc: ['body', 'name'], msg: 'is required' }] });
  });

  test.each([
    ['broken JSON', 400, 'malformed_json', '{"name":', 'application/json'],
    ['a form', 415, 'unsupported_media_type', 'name=x', 'application/x-www-form-urlencoded'],
    ['an array', 422, 'invalid_request', '[]', 'application/json'],
    ['a body over the limit', 413, 'body_too_large', `"${'x'.repeat(4_100_000)}"`, 'application/json'],
  ])('%s is %d', async (_name, status, code, body, type) => {
    const answer = await call('POST', '/api/v1/agents', body, { 'content-type': type });
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({ code });
  });

  test.each([
    ['GET', '/api/v1/agents/absent', 'agent_not_found'],
    ['GET', '/api/v1/worker-queues/absent', 'queue_not_found'],
    ['GET', '/api/v1/executions/absent', 'execution_not_found'],
    ['GET', '/api/v1/executions/absent/stream', 'execution_not_found'],
    ['POST', '/api/v1/workers/absent/heartbeat', 'worker_not_found'],
    ['PATCH', '/api/v1/executions/absent', 'execution_not_found'],
    ['GET', `/api/v1/agents/${encodeURIComponent('../../etc/passwd')}`, 'agent_not_found'],
    ['GET', '/api/v1/agents/%00', 'agent_not_found'],
    ['GET', '/nowhere', 'route_not_found'],
  ])('%s %s is 404 %s', async (method, path, code) => {
    const answer = await call(method, path, method === 'GET' ? undefined : {});
    expect(answer.status).toBe(404);
    expect(v.parse(problemSchema, answer.body).code).toBe(code);
  });

  test('unknown keys are ignored', async () => {
    const { status, body } = await call('POST', '/api/v1/agents', { name: 'tolerant', future: { deep: true } });
    expect(status).toBe(201);
    expect(body).not.toHaveProperty('future');
  });

  test.each(['limit=-1', 'limit=x', 'skip=1.5', 'limit=9999999999'])('a list with %s is 422', async (parameters) => {
    expect((await call('GET', `/api/v1/executions?${parameters}`)).status).toBe(422);
  });
});

describe('resources', () => {
  test('agents: create, find by name, change, list, delete', async () => {
    const created = await call('POST', '/api/v1/agents', {
      name: 'reviewer',
      system_prompt: 'Be short',
      skill_ids: ['python', 'shell'],
    });
    expect(created.status).toBe(201);
    const { id, skill_ids: skills } = v.parse(agentSchema, created.body);
    expect(skills).toHaveLength(2);
    expect((await call('GET', '/api/v1/agents/reviewer')).body).toEqual(created.body);
    expect((await call('GET', `/api/v1/agents/${id}`)).body).toEqual(created.body);

    expect((await call('POST', '/api/v1/agents', { name: 'reviewer' })).body).toMatchObject({ code: 'name_taken' });
    const changed = await call('PATCH', '/api/v1/agents/reviewer', {
      name: 'critic',
      model_id: 'openai/gpt-5',
      system_prompt: null,
    });
    expect(changed.body).toMatchObject({
      id,
      name: 'critic',
      model_id: 'openai/gpt-5',
      system_prompt: null,
      skill_ids: skills,
    });
    expect((await call('PATCH', '/api/v1/agents/critic', { name: 'default' })).status).toBe(409);
    expect((await call('GET', '/api/v1/agents/reviewer')).status).toBe(404);

    expect((await call('DELETE', '/api/v1/agents/critic')).status).toBe(204);
    expect((await call('DELETE', '/api/v1/agents/critic')).status).toBe(404);
  });

  test('a reference to something that is not there is 400 and stores nothing', async () => {
    for (const body of [{ skill_ids: ['absent'] }, { environment_ids: ['absent'] }, { team_id: 'absent' }]) {
      expect((await call('POST', '/api/v1/agents', { name: 'dangling', ...body })).status).toBe(400);
    }
    expect((await call('GET', '/api/v1/agents/dangling')).status).toBe(404);
    const team = { name: 'crew', configuration: { member_ids: ['absent'] } };
    expect((await call('POST', '/api/v1/teams', team)).body).toMatchObject({ code: 'agent_not_found' });
  });

  test('models have ids with slashes', async () => {
    expect((await call('POST', '/api/v1/models', { value: 'ollama/qwen/3' })).status).toBe(201);
    expect((await call('GET', '/api/v1/models/ollama/qwen/3')).body).toMatchObject({
      value: 'ollama/qwen/3',
      enabled: true,
    });
    expect((await call('DELETE', '/api/v1/models/ollama/qwen/3')).status).toBe(204);
  });

  test('the default environment and queue stay, and an environment with queues too', async () => {
    expect((await call('DELETE', '/api/v1/environments/default')).status).toBe(400);
    expect((await call('DELETE', '/api/v1/worker-queues/default')).status).toBe(400);
    expect((await call('POST', '/api/v1/environments', { name: 'staging' })).status).toBe(201);
    const queue = await call('POST', '/api/v1/environments/staging/worker-queues', { name: 'default' });
    expect(queue.status).toBe(201);
    expect((await call('DELETE', '/api/v1/environments/staging')).body).toMatchObject({ code: 'environment_in_use' });
    // The name means the queue of the default environment; the id means this one.
    expect((await call('GET', '/api/v1/worker-queues/default')).body['id']).not.toBe(queue.body['id']);
    expect((await call('GET', `/api/v1/worker-queues/${String(queue.body['id'])}`)).body).toEqual(queue.body);
  });

  test('skills: the first of a name wins, an override changes the configuration, a deleted skill is gone everywhere', async () => {
    const skill = await call('POST', '/api/v1/skills', {
      name: 'files',
      type: 'file_system',
      configuration: { base_dir: '/a', read_only: true },
    });
    const id = String(skill.body['id']);
    await call('POST', '/api/v1/environments', { name: 'skilled', skill_ids: [id] });
    const environment = await call('GET', '/api/v1/environments/skilled');
    await call('POST', '/api/v1/agents', { name: 'worker-bee', environment_ids: [environment.body['id']] });
    const attach = { skill_id: 'files', configuration_override: { base_dir: '/b' } };
    expect((await call('POST', '/api/v1/skills/associations/agent/worker-bee/skills', attach)).status).toBe(201);
    const resolved = '/api/v1/skills/associations/agents/worker-bee/skills/resolved';
    expect((await call('GET', resolved)).body).toMatchObject([
      { id, source: 'environment', inherited: true, configuration: { base_dir: '/a', read_only: true } },
    ]);
    expect((await call('GET', '/api/v1/skills/associations/agent/worker-bee/skills')).body).toMatchObject([
      { source: 'agent', configuration: { base_dir: '/b', read_only: true } },
    ]);
    expect((await call('DELETE', '/api/v1/skills/files')).status).toBe(204);
    expect((await call('GET', resolved)).body).toEqual([] as never);
    expect((await call('GET', '/api/v1/environments/skilled')).body).toMatchObject({ skill_ids: [] });
  });

  test('the execution environment: the particular wins over the general', async () => {
    const environment = { env_vars: { A: 'environment', B: 'environment' }, working_dir: '/environment', timeout: 10 };
    await call('POST', '/api/v1/environments', { name: 'layered', execution_environment: environment });
    const { body } = await call('GET', '/api/v1/environments/layered');
    const agent = { env_vars: { B: 'agent' }, timeout: 20 };
    await call('POST', '/api/v1/agents', {
      name: 'layered',
      environment_ids: [body['id']],
      execution_environment: agent,
    });
    const root = '/api/v1/execution-environment/agents/layered/resolved';
    expect((await call('GET', root)).body).toEqual({ A: 'environment', B: 'agent' });
    const asked = { env_vars: { C: 'execution' }, working_dir: '/work' };
    const execution = await call('POST', '/api/v1/agents/layered/execute', {
      prompt: 'hello',
      execution_environment: asked,
    });
    expect(
      (await call('GET', `${root}/full?execution_id=${String(execution.body['execution_id'])}`)).body,
    ).toMatchObject({
      env_vars: { A: 'environment', B: 'agent', C: 'execution' },
      working_dir: '/work',
      timeout: 20,
    });
    expect((await call('GET', `${root}/full?execution_id=absent`)).status).toBe(404);
  }, 20_000);
});

describe('queues and workers', () => {
  test('workers that are gone are listed on demand, with the journals that they named', async () => {
    const { id } = await newQueue({ name: 'remembering' });
    const start = async (body: Record<string, unknown>): Promise<string> =>
      String((await call('POST', `/api/v1/worker-queues/${String(id)}/start`, body)).body['worker_id']);
    const [silent, gone] = [await start({}), await start({ journal_id: 'j1' })];
    await call('POST', `/api/v1/workers/${gone}/heartbeat`, { tasks_processed: 1 });
    await call('POST', `/api/v1/workers/${gone}/disconnect`, { reason: 'shutdown' });
    const known = async (query: string) =>
      v
        .parse(v.array(workerSchema), (await call('GET', `/api/v1/worker-queues/${String(id)}/workers${query}`)).body)
        .map((worker) => `${worker.id} ${worker.journal_id ?? 'none'}`)
        .toSorted();
    expect(await known('')).toEqual([]);
    expect(await known('?include_gone=true')).toEqual([`${silent} none`, `${gone} j1`].toSorted());
    expect((await call('GET', `/api/v1/worker-queues/${String(id)}/workers?include_gone=maybe`)).status).toBe(422);
  });

  test('a worker registers, is live after its first heartbeat, and dies without one', async () => {
    const { id } = await newQueue({ name: 'living', heartbeat_interval: 10 });
    const start = await call('POST', `/api/v1/worker-queues/${String(id)}/start`, { system_info: { hostname: 'h' } });
    expect(start.status).toBe(200);
    expect(v.parse(workerStartResponseSchema, start.body)).toMatchObject({
      task_queue_name: id,
      temporal_host: absentTemporal,
      temporal_api_key: '',
      heartbeat_interval: 10,
      is_local: true,
      supports_event_batches: true,
      workflow_signing_key: Buffer.from(signingKey).toString('base64'),
    });
    const worker = String(start.body['worker_id']);
    const workers = async () =>
      v.parse(v.array(workerSchema), (await call('GET', `/api/v1/worker-queues/${String(id)}/workers`)).body);
    expect(await workers()).toEqual([]);

    const beat = (body: Record<string, unknown> = {}) => call('POST', `/api/v1/workers/${worker}/heartbeat`, body);
    expect((await beat({ tasks_processed: 3, logs: ['one'] })).status).toBe(204);
    await beat({ logs: Array.from({ length: 120 }, (_, index) => `line ${index}`) });
    const [listed] = await workers();
    expect(listed).toMatchObject({ id: worker, status: 'active', system_info: { hostname: 'h' } });
    expect(listed?.logs).toHaveLength(100);
    expect(listed?.logs?.at(-1)).toBe('line 119');
    expect((await call('DELETE', `/api/v1/worker-queues/${String(id)}`)).body).toMatchObject({
      code: 'queue_has_workers',
    });

    clock.advance(24_000);
    expect(await workers()).toHaveLength(1);
    clock.advance(2_000);
    expect(await workers()).toEqual([]);
    expect((await beat()).status).toBe(204);
    expect(await workers()).toHaveLength(1);
    // Its own interval counts when it is the longer one.
    await beat({ worker_metadata: { heartbeat_interval: 100 } });
    clock.advance(240_000);
    expect(await workers()).toHaveLength(1);

    const left = await call('POST', `/api/v1/workers/${worker}/disconnect`, { reason: 'shutdown', exit_code: 0 });
    expect(left.status).toBe(204);
    expect(await workers()).toEqual([]);
    expect((await beat()).status).toBe(404);
    expect((await call('POST', `/api/v1/workers/${worker}/disconnect`)).status).toBe(404);
    expect((await call('DELETE', `/api/v1/worker-queues/${String(id)}`)).status).toBe(204);
    expect((await call('POST', `/api/v1/worker-queues/${String(id)}/start`)).status).toBe(404);
  });

  test('a queue that is not active, or full, takes no worker', async () => {
    await newQueue({ name: 'narrow', max_workers: 1 });
    const first = await call('POST', '/api/v1/worker-queues/narrow/start', { journal_id: 'journal-1' });
    // Before its first heartbeat as well: two that start at once are two. A successor by its journal is not a second one.
    expect((await call('POST', '/api/v1/worker-queues/narrow/start')).status).toBe(409);
    await call('POST', `/api/v1/workers/${String(first.body['worker_id'])}/heartbeat`, {});
    expect((await call('POST', '/api/v1/worker-queues/narrow/start')).body).toMatchObject({
      code: 'queue_full',
      retryable: true,
    });
    const second = await call('POST', '/api/v1/worker-queues/narrow/start', { journal_id: 'journal-1' });
    expect(second.status).toBe(200);
    await call('POST', `/api/v1/workers/${String(second.body['worker_id'])}/disconnect`, {});
    expect((await call('POST', '/api/v1/worker-queues/narrow/start')).status).toBe(200);
    expect((await call('PATCH', '/api/v1/worker-queues/narrow', { status: 'paused' })).body).toMatchObject({
      status: 'paused',
      max_workers: 1,
    });
    expect((await call('POST', '/api/v1/worker-queues/narrow/start')).body).toMatchObject({ code: 'queue_not_active' });
    expect(
      (await call('POST', '/api/v1/agents/default/execute', { prompt: 'x', worker_queue_id: 'narrow' })).status,
    ).toBe(400);
  });

  test('ephemeral queues are hidden, and removed after their time without a worker', async () => {
    const { id } = await newQueue({
      name: 'local-exec-1',
      ephemeral: true,
      single_execution_mode: true,
      auto_cleanup_after_seconds: 30,
    });
    const listed = (await call('GET', '/api/v1/worker-queues')).body as unknown as { id: string }[];
    expect(listed.map((queue) => queue.id)).not.toContain(String(id));
    const start = await call('POST', `/api/v1/worker-queues/${String(id)}/start`);
    expect(start.body).toMatchObject({ queue_ephemeral: true, queue_single_execution: true });
    await call('POST', `/api/v1/workers/${String(start.body['worker_id'])}/heartbeat`, {});
    clock.advance(31_000);
    await Bun.sleep(2_300);
    expect((await call('GET', `/api/v1/worker-queues/${String(id)}`)).status).toBe(200);
    clock.advance(50_000);
    // A round of the reconciler takes longer while Temporal does not answer.
    await waitFor(
      () => call('GET', `/api/v1/worker-queues/${String(id)}`),
      ({ status }) => status === 404,
    );
  }, 30_000);

  test('the configuration has a version that changes with it', async () => {
    await newQueue({ name: 'versioned' });
    const first = await call('GET', '/api/v1/worker-queues/versioned/config');
    expect((await call('GET', '/api/v1/worker-queues/versioned/config')).body).toEqual(first.body);
    await call('PATCH', '/api/v1/worker-queues/versioned', { settings: { kubernetes: { image: 'x' } } });
    const second = await call('GET', '/api/v1/worker-queues/versioned/config');
    expect(second.body['config_version']).not.toBe(first.body['config_version']);
    expect(second.body).toMatchObject({ settings: { kubernetes: { image: 'x' } }, environment_name: 'default' });
  });
});

describe('listener', () => {
  test('a taken port is the next one, or an error when it was chosen', async () => {
    const next = await startTestServer(absentTemporal, { port: server.port });
    expect(next.port).toBeGreaterThan(server.port);
    await next.stop();
    const failure = await failureOf(startTestServer(absentTemporal, { port: server.port, isPortExplicit: true }));
    expect(failure).toMatchObject({ code: 'port_taken', exitCode: 6 });
  });

  test('an address that is not ours is a clear error', async () => {
    expect(await failureOf(startTestServer(absentTemporal, { host: '203.0.113.1' }))).toMatchObject({
      code: 'listen_failed',
    });
  });

  test('after stop nobody answers, and a second stop is nothing', async () => {
    const other = await startTestServer(absentTemporal);
    await other.stop();
    await other.stop();
    expect(await failureOf(fetch(`${other.url}/health`))).toBeInstanceOf(Error);
  });
});
