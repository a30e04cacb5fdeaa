// The commands that list, show and create things, and those about executions, as real processes.
import { describe, expect, test } from 'bun:test';
import { defaultAgent, defaultQueue, executionId, workerEvent } from '../support/scripted-control-plane.ts';
import { against, runCli } from './run-cli.ts';
import { start } from './scripted-exec.ts';

describe('resources', () => {
  test('lists as a table, as JSON, and empty', async () => {
    const environment = against(await start());
    const table = await runCli(['agent', 'list'], { environment });
    expect(table).toEqual({
      code: 0,
      stderr: '',
      stdout: `NAME     ID                                    MODEL  STATUS  DESCRIPTION\ndefault  ${defaultAgent.id}  -      idle    -\n`,
    });
    expect(JSON.parse((await runCli(['queue', 'list', '--json'], { environment })).stdout)).toMatchObject([
      defaultQueue,
    ]);
    const none = await runCli(['agent', 'list'], { environment: against(await start({ agents: [] })) });
    expect(none).toEqual({ code: 0, stdout: '', stderr: 'there are none\n' });
  });

  test('a proxy in the environment is not asked for a control plane on this machine', async () => {
    const environment = {
      ...against(await start()),
      HTTP_PROXY: 'http://127.0.0.1:9',
      http_proxy: 'http://127.0.0.1:9',
    };
    expect(await runCli(['agent', 'list', '--json'], { environment })).toMatchObject({ code: 0, stderr: '' });
  });

  test('get by name, unknown is 4, ambiguous is 2', async () => {
    const environment = against(
      await start({ agents: [defaultAgent, { id: 'a', name: 'twin' }, { id: 'b', name: 'twin' }] }),
    );
    expect(JSON.parse((await runCli(['agent', 'get', 'default', '--json'], { environment })).stdout)).toMatchObject(
      defaultAgent,
    );
    expect(await runCli(['agent', 'get', 'nobody'], { environment })).toMatchObject({ code: 4, stdout: '' });
    expect(await runCli(['agent', 'get', 'twin'], { environment })).toMatchObject({
      code: 2,
      stderr: 'error: 2 agents have the name "twin": a, b\nhint: name it by its id\n',
    });
  });

  test('create sends what the flags say', async () => {
    const skill = { id: 's1', name: 'shell', type: 'shell' };
    const plane = await start({
      override: ({ method, path, body }) => {
        if (method === 'GET' && path.startsWith('/api/v1/skills')) return { status: 200, body: [skill] };
        return method === 'POST'
          ? {
              status: 201,
              body: { id: 'n1', ...(body as object), environment_id: 'e', status: 'ready', task_queue_name: 'n1' },
            }
          : undefined;
      },
    });
    const environment = against(plane);
    const words = [
      'agent',
      'create',
      '--name',
      'n',
      '--model',
      'm',
      '--system-prompt',
      'p',
      '--skill',
      'shell',
      '--skill',
      's1',
      '--description',
      'd',
    ];
    expect((await runCli(words, { environment })).code).toBe(0);
    expect((await runCli(['queue', 'create', '--name', 'ci'], { environment })).code).toBe(0);
    expect((await runCli(['environment', 'create', '--name', 'staging'], { environment })).code).toBe(0);
    expect(
      (await runCli(['skill', 'create', '--name', 'sh', '--type', 'shell', '--config', '{"a":1}'], { environment }))
        .code,
    ).toBe(0);
    expect((await runCli(['model', 'create', 'openai/gpt-5'], { environment })).code).toBe(0);
    expect(plane.requests.filter(({ method }) => method === 'POST').map(({ path, body }) => [path, body])).toEqual([
      ['/api/v1/agents', { name: 'n', description: 'd', system_prompt: 'p', model_id: 'm', skill_ids: ['s1', 's1'] }],
      [`/api/v1/environments/${defaultQueue.environment_id}/worker-queues`, { name: 'ci' }],
      ['/api/v1/environments', { name: 'staging' }],
      ['/api/v1/skills', { name: 'sh', type: 'shell', configuration: { a: 1 } }],
      ['/api/v1/models', { value: 'openai/gpt-5', label: 'openai/gpt-5', provider: 'openai' }],
    ]);
  });

  test('a refusal shows the sentence, the code and the hint of the server', async () => {
    const refused = {
      status: 409,
      body: { detail: 'an agent with this name exists', code: 'agent_exists', hint: 'choose another name' },
    };
    const environment = against(await start({ override: ({ method }) => (method === 'POST' ? refused : undefined) }));
    const text = await runCli(['agent', 'create', '--name', 'x'], { environment });
    expect(text).toMatchObject({
      code: 4,
      stderr: 'error: an agent with this name exists\nhint: choose another name\n',
    });
    const json = await runCli(['agent', 'create', '--name', 'x', '--json'], { environment });
    expect(JSON.parse(json.stderr)).toEqual({
      code: 'agent_exists',
      message: 'an agent with this name exists',
      hint: 'choose another name',
      retryable: false,
    });
  });
});

describe('executions', () => {
  const history = [
    { event: 'message', data: { role: 'user', content: 'do it', message_id: 'u' } },
    workerEvent('message', { role: 'assistant', content: 'Doing it', message_id: 'm' }),
    {
      event: 'history_complete',
      data: { execution_id: executionId, message_count: 2, is_truncated: false, has_more: false },
    },
    { type: 'wait', for: 'release' } as const,
  ];
  test('logs ends at the end of the history, get lower-cases the status, list asks with the names of the server', async () => {
    const plane = await start({
      steps: history,
      override: ({ path }) => (path.startsWith('/api/v1/executions?') ? { status: 200, body: [] } : undefined),
    });
    const environment = against(plane);
    expect(await runCli(['execution', 'logs', executionId], { environment })).toEqual({
      code: 0,
      stdout: 'Doing it\n',
      stderr: 'prompt: do it\n',
    });
    expect((await runCli(['execution', 'get', executionId], { environment })).stdout).toMatch(/^status +running$/m);
    await runCli(['execution', 'list', '--status', 'failed', '--limit', '5', '--agent', 'default'], { environment });
    expect(plane.requests.at(-1)?.path).toBe(
      `/api/v1/executions?limit=5&status_filter=failed&agent_id=${defaultAgent.id}`,
    );
  });
  test('cancel: done, refused, unknown', async () => {
    expect(await runCli(['execution', 'cancel', executionId], { environment: against(await start()) })).toMatchObject({
      code: 0,
      stderr: 'cancelling\n',
    });
    const refusing = await start({
      override: ({ method }) =>
        method === 'POST' ? { status: 200, body: { success: false, error: 'it has already completed' } } : undefined,
    });
    expect(await runCli(['execution', 'cancel', executionId], { environment: against(refusing) })).toMatchObject({
      code: 4,
      stderr: `error: it has already completed\nhint: \`kubiya execution get ${executionId}\` shows its state\n`,
    });
    expect(await runCli(['execution', 'cancel', 'nope'], { environment: against(await start()) })).toMatchObject({
      code: 4,
    });
  });
});
