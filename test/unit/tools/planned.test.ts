// Tools whose calls the workflow carries out: what they plan, and what they refuse before anything is planned.
import { describe, expect, test } from 'bun:test';
import { KubiyaError } from '../../../src/errors.ts';
import type { Execution } from '../../../src/protocol/control-plane.ts';
import { createToolset } from '../../../src/tools/toolset.ts';
import { createBench, skill, toolOf } from './support.ts';

const plan = (name: string, type: string, given: object, configuration: Record<string, unknown> = {}) =>
  toolOf(name, type, configuration).plan?.(JSON.stringify(given));

async function refusal(name: string, type: string, given: object, configuration: Record<string, unknown> = {}) {
  await using bench = createBench();
  const tool = toolOf(name, type, configuration);
  expect(tool.plan?.(JSON.stringify(given))).toBeUndefined();
  const result = await tool.run(JSON.stringify(given), bench.context());
  expect(result.status).toBe('failed');
  return result.output;
}

const names = (type: string, configuration: Record<string, unknown> = {}): string[] =>
  Array.from(createToolset([skill(type, configuration)]).tools.keys()).filter((name) => name !== 'wait_for_approval');

describe('sleep', () => {
  test('[sleep] is a timer in whole milliseconds, and later calls wait for it', () => {
    expect(plan('sleep', 'sleep', { seconds: 1.5 })).toEqual({ type: 'sleep', durationMs: 1500 });
    expect(plan('sleep', 'sleep', { seconds: 0.0012 })).toEqual({ type: 'sleep', durationMs: 2 });
    expect(toolOf('sleep', 'sleep').effect('{"seconds":1}')).toBe('side_effecting');
  });

  test('[sleep.max_duration] is the longest', async () => {
    expect(plan('sleep', 'sleep', { seconds: 60 }, { max_duration: 60 })).toMatchObject({ durationMs: 60_000 });
    expect(await refusal('sleep', 'sleep', { seconds: 61 }, { max_duration: 60 })).toBe('The longest sleep is 60 s');
    expect(await refusal('sleep', 'sleep', { seconds: 86_401 })).toContain('86400');
  });

  test.each([
    {},
    { seconds: 0 },
    { seconds: -1 },
    { seconds: '5' },
    { seconds: 1, until: 'dawn' },
    { seconds: Infinity },
  ])('%p is refused', async (given) => {
    expect(await refusal('sleep', 'sleep', given)).toContain('Wrong arguments for sleep');
  });

  test('says so where the workflow cannot plan', async () => {
    await using bench = createBench();
    const result = await toolOf('sleep', 'sleep').run('{"seconds":1}', bench.context());
    expect(result).toMatchObject({ status: 'failed', output: expect.stringContaining('cannot carry out sleep') });
  });
});

describe('wait_for_approval', () => {
  const name = 'wait_for_approval';

  test('[wait_for_approval] is there with any tool, and not without', () => {
    expect(createToolset([skill('shell')]).tools.has(name)).toBe(true);
    expect(createToolset([], [toolOf('sleep', 'sleep')]).tools.has(name)).toBe(true);
    expect(createToolset([]).tools.size).toBe(0);
  });

  test('[wait_for_approval.enabled] false takes it away', () => {
    expect(createToolset([skill('shell'), skill(name, { enabled: false })]).tools.has(name)).toBe(false);
    expect(createToolset([skill('shell'), skill(name, { enabled: true })]).tools.has(name)).toBe(true);
  });

  test('asks whom the model names, for a day', () => {
    const given = { title: ' Delete it? ', approver_user_emails: ['a@b.cd'], context: { rows: 3 } };
    expect(plan(name, name, given)).toEqual({
      type: 'approval',
      title: 'Delete it?',
      approverEmails: ['a@b.cd'],
      expiresAfterMs: 86_400_000,
      context: { rows: 3 },
    });
  });

  test('[wait_for_approval.approver_user_emails] [wait_for_approval.approver_group_id] stand against the model', () => {
    const given = { title: 'x', approver_user_emails: ['me@evil.example'], approver_group_id: 'mine' };
    expect(plan(name, name, given, { approver_user_emails: 'boss@b.cd' })).toMatchObject({
      approverEmails: ['boss@b.cd'],
    });
    expect(plan(name, name, given, { approver_user_emails: 'boss@b.cd' })).not.toHaveProperty('approverGroupId');
    expect(plan(name, name, given, { approver_group_id: 'ops' })).toMatchObject({
      approverEmails: [],
      approverGroupId: 'ops',
    });
  });

  test('[wait_for_approval.timeout_minutes] is the longest wait', () => {
    const expiry = (minutes: number, configuration: Record<string, unknown>) =>
      plan(name, name, { title: 'x', timeout_minutes: minutes }, configuration);
    expect(expiry(50, { timeout_minutes: 5 })).toMatchObject({ expiresAfterMs: 300_000 });
    expect(expiry(2, { timeout_minutes: 5 })).toMatchObject({ expiresAfterMs: 120_000 });
  });

  test.each([
    {},
    { title: '  ' },
    { title: 'x'.repeat(201) },
    { title: 'x', approver_user_emails: ['nobody'] },
    { title: 'x', timeout_minutes: 0 },
    { title: 'x', context: { text: 'x'.repeat(20_001) } },
    { title: 'x', approved: true },
  ])('%p is refused', async (given) => {
    expect(await refusal(name, name, given)).toMatch(/Wrong arguments|longer than/);
  });
});

describe('agent_communication', () => {
  const type = 'agent_communication';

  test('[execute_agent] [execute_team] start an execution side by side with others', () => {
    expect(plan('execute_agent', type, { agent_id: 'a', prompt: 'p' })).toEqual({
      type: 'execution',
      entityType: 'agent',
      entityId: 'a',
      prompt: 'p',
      isAwaited: true,
      timeoutMs: 3_600_000,
      depthMax: 2,
    });
    expect(
      plan('execute_team', type, { team_id: 't', prompt: 'p', wait_for_completion: false, timeout: 5 }),
    ).toMatchObject({ entityType: 'team', entityId: 't', isAwaited: false, timeoutMs: 5_000 });
    expect(toolOf('execute_agent', type).effect('{"agent_id":"a","prompt":"p"}')).toBe('read_only');
  });

  test('[followup_execution] carries the list of whom it may speak to', () => {
    const given = { execution_id: 'e', followup_prompt: 'more' };
    expect(plan('followup_execution', type, given)).toEqual({
      type: 'follow_up',
      executionId: 'e',
      message: 'more',
      isAwaited: true,
      timeoutMs: 3_600_000,
    });
    expect(plan('followup_execution', type, given, { allowed_agents: 'a, b' })).toMatchObject({
      allowedEntities: ['a', 'b'],
    });
  });

  test('[agent_communication.allowed_agents] refuses all others', async () => {
    const configuration = { allowed_agents: ['helper'] };
    expect(plan('execute_agent', type, { agent_id: 'helper', prompt: 'p' }, configuration)).toBeDefined();
    for (const [name, given] of [
      ['execute_agent', { agent_id: 'Helper', prompt: 'p' }],
      ['execute_agent', { agent_id: 'helper2', prompt: 'p' }],
      ['execute_team', { team_id: 'x', prompt: 'p' }],
    ] as const) {
      expect(await refusal(name, type, given, configuration)).toContain('is not among the agents and teams');
    }
  });

  test('[agent_communication.max_execution_depth] goes with the plan', () => {
    const given = { agent_id: 'a', prompt: 'p' };
    expect(plan('execute_agent', type, given, { max_execution_depth: 4 })).toMatchObject({ depthMax: 4 });
    expect(createToolset([skill(type, { max_execution_depth: 11 })]).tools.size).toBe(0);
  });

  test('[agent_communication.allowed_operations] decides which tools there are', () => {
    expect(names(type)).toEqual(['execute_agent', 'execute_team', 'followup_execution', 'get_execution_status']);
    expect(names(type, { allowed_operations: ['execute_team'] })).toEqual(['execute_team']);
  });

  test('[agent_communication=read_only] [agent_communication=limited] [agent_communication=full_orchestration]', () => {
    expect(names(type, { variant: 'read_only', allowed_operations: ['execute_agent'] })).toEqual([
      'get_execution_status',
    ]);
    expect(names(type, { variant: 'limited' })).toEqual([
      'execute_agent',
      'followup_execution',
      'get_execution_status',
    ]);
    const depthOf = (configuration: Record<string, unknown>) =>
      plan('execute_agent', type, { agent_id: 'a', prompt: 'p' }, configuration);
    expect(depthOf({ variant: 'limited', max_execution_depth: 9 })).toMatchObject({ depthMax: 2 });
    expect(names(type, { variant: 'full_orchestration' })).toHaveLength(4);
    expect(depthOf({ variant: 'full_orchestration' })).toMatchObject({ depthMax: 5 });
  });

  test('[get_execution_status] tells status and answer, of allowed agents only', async () => {
    await using bench = createBench();
    const execution = { id: 'e1', status: 'COMPLETED', entity_id: 'a1', entity_name: 'helper', response: 'done' };
    const context = bench.context({ readExecution: () => Promise.resolve(execution as Execution) });
    const look = (configuration: Record<string, unknown>) =>
      toolOf('get_execution_status', type, configuration).run('{"execution_id":"e1"}', context);
    const seen = await look({ allowed_agents: ['helper'] });
    expect(JSON.parse(seen.output)).toEqual({
      execution_id: 'e1',
      status: 'completed',
      agent: 'helper',
      response: 'done',
    });
    expect((await look({ allowed_agents: ['other'] })).output).toContain('a1 is not among');
  });

  test('an execution that is not there is an answer for the model', async () => {
    await using bench = createBench();
    const error = new KubiyaError('There is no execution e9', { kind: 'api_refused', code: 'not_found' });
    const context = bench.context({ readExecution: () => Promise.reject(error) });
    const tool = toolOf('get_execution_status', type);
    expect((await tool.run('{"execution_id":"e9"}', context)).output).toBe('There is no execution e9');
  });
});
