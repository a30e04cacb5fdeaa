// Calls that the workflow itself carries out: approvals, sleep and other executions wait without a slot, and gate what follows.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { EventView } from '../support/local-server.ts';
import type { ScriptedReply } from '../support/model-servers.ts';
import { until } from '../support/until.ts';
import { queueName, startLab, type Lab } from './lab.ts';
import { type Scenario, type Scenarios, startScenarios } from './scenarios.ts';

const limitMs = 30_000;
let models: Scenarios;
let lab: Lab;
let agent: string;

beforeAll(async () => {
  models = await startScenarios('openai');
  lab = await startLab({
    OPENAI_BASE_URL: models.url,
    OPENAI_API_KEY: 'sk-scripted',
    MAX_CONCURRENT_ACTIVITIES: '10',
  });
  const ids: string[] = [];
  for (const type of ['shell', 'sleep', 'agent_communication', 'file_system']) {
    const skill = await lab.server.request('POST', '/api/v1/skills', { name: `waiting-${type}`, type });
    ids.push((skill as { id: string }).id);
  }
  const made = await lab.server.request('POST', '/api/v1/agents', { name: 'waiter', skill_ids: ids });
  agent = (made as { id: string }).id;
}, 90_000);
afterAll(async () => {
  await lab.stop();
  await models.stop();
}, 30_000);

const call = (name: string, given: Record<string, unknown>) => ({ name, arguments: given });
const calls = (...all: ReturnType<typeof call>[]): ScriptedReply => ({ type: 'calls', calls: all });
const says = (text: string): ScriptedReply => ({ type: 'text', text });
const asks = (title: string, more: Record<string, unknown> = {}) => call('wait_for_approval', { title, ...more });

async function start(scenario: Scenario, more: Record<string, unknown> = {}): Promise<string> {
  const request = { prompt: scenario.tag, worker_queue_id: queueName, model_id: 'openai/x', ...more };
  const answer = await lab.server.request('POST', `/api/v1/agents/${agent}/execute`, request);
  return (answer as { execution_id: string }).execution_id;
}

interface ApprovalView {
  readonly id: string;
  readonly title: string;
  readonly status: string;
}

async function approvalOf(executionId: string): Promise<ApprovalView> {
  const list = async () =>
    (await lab.server.request('GET', `/api/v1/approvals?execution_id=${executionId}`)) as ApprovalView[];
  await until(async () => (await list()).length > 0, { limitMs, what: () => 'an approval' });
  const [approval] = await list();
  if (approval === undefined) throw new Error('unreachable');
  return approval;
}
const settle = (approval: ApprovalView, verb: 'approve' | 'reject', reason?: string): Promise<unknown> =>
  lab.server.request('POST', `/api/v1/approvals/${approval.id}/${verb}`, reason === undefined ? {} : { reason });

const typesOf = (events: readonly EventView[], name: string): EventView[] =>
  events.filter(({ event_type }) => event_type === name);
/** What the model was told of a call in its next request. */
const sent = (scenario: Scenario, request: number): { role: string; content: string }[] =>
  (scenario.requests[request]?.body['messages'] ?? []) as ReturnType<typeof sent>;
const toldOf = (scenario: Scenario, request: number): string => JSON.stringify(sent(scenario, request).slice(-3));

test('30 agents that wait do not delay a 31st that works, on a worker with 10 slots', async () => {
  const waiting: string[] = [];
  for (let index = 0; index < 30; index++) {
    const wait = index % 2 === 0 ? asks(`approval ${index}`) : call('sleep', { seconds: 60 });
    waiting.push(await start(models.add([calls(wait)])));
  }
  const isWaiting = async (id: string): Promise<boolean> =>
    typesOf(await lab.server.events(id), 'tool_started').length === 1;
  for (const id of waiting) await until(() => isWaiting(id), { limitMs, what: () => `${id} waits` });
  const startedAt = performance.now();
  const id = await start(models.add([calls(call('run_shell_command', { command: 'echo done' })), says('worked')]));
  expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'worked' });
  expect(performance.now() - startedAt).toBeLessThan(5_000);
  // A cancel reaches every one of them, and their calls are told as ended.
  await Promise.all(waiting.map((one) => lab.server.request('POST', `/api/v1/executions/${one}/cancel`)));
  for (const one of waiting) {
    expect((await lab.server.ended(one, limitMs)).status).toBe('cancelled');
    const [completed] = typesOf(await lab.server.events(one), 'tool_completed');
    expect(completed?.data).toMatchObject({ status: 'failed', outcome: 'cancelled' });
  }
}, 90_000);

test('an approval holds the calls behind it, which run when it is given', async () => {
  const file = join(lab.home.directory, 'approved');
  const scenario = models.add([
    calls(asks('touch it', { message: 'it is only a file' }), call('run_shell_command', { command: `touch ${file}` })),
    says('touched'),
  ]);
  const id = await start(scenario);
  const approval = await approvalOf(id);
  await Bun.sleep(500);
  expect(existsSync(file)).toBe(false);
  expect((await lab.server.execution(id)).status).toBe('running');
  expect(await lab.server.request('GET', `/api/v1/executions/${id}/inspect`)).toMatchObject({
    waits_for: `an answer to "touch it" (kubiya execution approve ${id})`,
  });
  await settle(approval, 'approve');
  expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'touched' });
  expect(existsSync(file)).toBe(true);
  const events = await lab.server.events(id);
  expect(typesOf(events, 'approval_requested')[0]?.data).toMatchObject({
    approval_id: approval.id,
    title: 'touch it',
    message: 'it is only a file',
  });
  expect(typesOf(events, 'approval_resolved')[0]?.data).toMatchObject({ approval_id: approval.id, status: 'approved' });
}, 60_000);

test('a rejection is told to the model, and an execution that nobody attends ends as denied', async () => {
  const file = join(lab.home.directory, 'deleted');
  const deletes = call('run_shell_command', { command: `touch ${file}` });
  const scenario = models.add([calls(asks('delete everything'), deletes), says('I was not allowed to')]);
  const id = await start(scenario);
  await settle(await approvalOf(id), 'reject', 'not today');
  expect(await lab.server.ended(id, limitMs)).toMatchObject({
    status: 'failed',
    response: 'I was not allowed to',
    error_message: expect.stringMatching(/The approval "delete everything" was rejected.*not today/),
  });
  expect(toldOf(scenario, 1)).toContain('not today');
  expect(existsSync(file)).toBe(false);
  const [error] = typesOf(await lab.server.events(id), 'error');
  expect(error?.data).toMatchObject({ error_type: 'denied' });
}, 60_000);

test('an approval that nobody answers expires; one that is given afterwards makes the execution whole again', async () => {
  const scenario = models.add([
    calls(asks('quickly', { timeout_minutes: 0.02 })),
    calls(asks('once more')),
    says('done after all'),
  ]);
  const id = await start(scenario);
  await until(() => scenario.requests.length === 2, { limitMs, what: () => 'the second request' });
  expect(toldOf(scenario, 1)).toMatch(/expired/);
  await until(async () => (await approvalOf(id)).title === 'once more', { limitMs });
  await settle(await approvalOf(id), 'approve');
  expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'done after all' });
}, 60_000);

test('sleeping calls of one answer sleep at the same time, and the model is told in its own order', async () => {
  const scenario = models.add([
    calls(
      call('sleep', { seconds: 1.5 }),
      call('sleep', { seconds: 1 }),
      call('run_shell_command', { command: 'date +%s%N' }),
    ),
    says('awake'),
  ]);
  const startedAt = performance.now();
  await lab.server.ended(await start(scenario), limitMs);
  expect(performance.now() - startedAt).toBeLessThan(2_400);
  const told = sent(scenario, 1).filter(({ role }) => role === 'tool');
  expect(told.map(({ content }) => content).slice(0, 2)).toEqual(['Slept for 1.5 s', 'Slept for 1 s']);
}, 60_000);

test('an answer with more calls than one task of Temporal takes runs them all', async () => {
  const looks = Array.from({ length: 80 }, () => call('list_files', {}));
  const scenario = models.add([calls(...looks), says('seen')]);
  // Each call brings it along: more than 6 MB together.
  const id = await start(scenario, { system_prompt: 'p'.repeat(80_000) });
  expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'seen' });
  expect(sent(scenario, 1).filter(({ role }) => role === 'tool')).toHaveLength(80);
}, 60_000);

test('a cancel after large outputs is not lost with the run that they end, and the conversation is kept', async () => {
  const file = join(lab.home.directory, 'last');
  const large = call('run_shell_command', { command: "head -c 99000 /dev/zero | tr '\\0' x" });
  const last = call('run_shell_command', { command: `touch ${file}; sleep 600` });
  const id = await start(models.add([calls(...Array.from({ length: 45 }, () => large), last)]));
  await until(() => existsSync(file), { limitMs, what: () => 'the last call' });
  await lab.server.request('POST', `/api/v1/executions/${id}/cancel`);
  expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'cancelled' });
  const session = (await lab.server.request('GET', `/api/v1/executions/${id}/session`)) as { messages: unknown[] };
  expect(session.messages).toHaveLength(48);
}, 60_000);

test('a pause shows while an approval waits, and what follows stays held until it is resumed', async () => {
  const scenario = models.add([calls(asks('while paused')), says('resumed')]);
  const id = await start(scenario);
  const approval = await approvalOf(id);
  await lab.server.request('POST', `/api/v1/executions/${id}/pause`);
  await until(async () => (await lab.server.execution(id)).status === 'paused', { limitMs });
  await settle(approval, 'approve');
  await Bun.sleep(400);
  expect([(await lab.server.execution(id)).status, scenario.requests.length]).toEqual(['paused', 1]);
  await lab.server.request('POST', `/api/v1/executions/${id}/resume`);
  expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'resumed' });
}, 60_000);

// The last tag in a request says whose it is, so an answer that comes back to its caller ends with the caller's.

test('an agent runs another one and is told its answer', async () => {
  const child = models.add([() => says(`CHILD ${parent.tag}`)]);
  const parent = models.add([calls(call('execute_agent', { agent_id: agent, prompt: child.tag })), says('PARENT')]);
  const id = await start(parent);
  expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'PARENT' });
  expect(sent(parent, 1).at(-1)).toMatchObject({ role: 'tool', content: `CHILD ${parent.tag}` });
  const executions = (await lab.server.request('GET', '/api/v1/executions')) as { prompt: string }[];
  expect(executions.filter(({ prompt }) => prompt === child.tag)).toHaveLength(1);
}, 60_000);

test('an agent speaks to a conversation and is told the answer to its message, not an earlier one', async () => {
  const talk = models.add([says('EARLIER'), () => says(`LATER ${parent.tag}`)]);
  const parent = models.add([
    () => calls(call('followup_execution', { execution_id: talkId, followup_prompt: `go on, ${talk.tag}` })),
    says('PARENT'),
  ]);
  const talkId = await start(talk, { is_conversation: true });
  await until(async () => (await lab.server.execution(talkId)).status === 'waiting_for_input', { limitMs });
  const id = await start(parent);
  expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'PARENT' });
  expect(sent(parent, 1).at(-1)).toMatchObject({ role: 'tool', content: `LATER ${parent.tag}` });
  await lab.server.request('POST', `/api/v1/executions/${talkId}/mark-done`);
  await lab.server.ended(talkId, limitMs);
}, 60_000);

test('a cancel reaches the execution that is waited for', async () => {
  const child = models.add([calls(call('sleep', { seconds: 600 }))]);
  const parent = models.add([calls(call('execute_agent', { agent_id: agent, prompt: child.tag }))]);
  const id = await start(parent);
  await until(() => child.requests.length === 1, { limitMs, what: () => 'the child runs' });
  await lab.server.request('POST', `/api/v1/executions/${id}/cancel`);
  expect((await lab.server.ended(id, limitMs)).status).toBe('cancelled');
  const executions = (await lab.server.request('GET', '/api/v1/executions')) as { id: string; prompt: string }[];
  const childId = executions.find(({ prompt }) => prompt === child.tag)?.id ?? '';
  expect((await lab.server.ended(childId, limitMs)).status).toBe('cancelled');
}, 60_000);

test('an approval outlives its worker: the verdict that came in between counts', async () => {
  const scenario = models.add([calls(asks('across a death')), says('alive')]);
  const id = await start(scenario);
  const approval = await approvalOf(id);
  lab.worker.kill();
  await settle(approval, 'approve');
  lab = await lab.restartWorker();
  expect(await lab.server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'alive' });
}, 60_000);

test('exec says which command answers an approval, follows it, and exits 8 when it is denied', async () => {
  for (const [verb, code] of [
    ['approve', 0],
    ['reject', 8],
  ] as const) {
    const scenario = models.add([calls(asks(`${verb} me`, { message: 'line 1\nline 2' })), says('so be it')]);
    const words = ['exec', 'agent', 'waiter', '--queue', queueName, '--model', 'openai/x', scenario.tag];
    const result = await lab.run(words, {
      during: async (_, printed) => {
        const told = (): string | undefined => /execution approve ([0-9a-f-]{36})/.exec(printed().stderr)?.[1];
        await until(() => told() !== undefined, { limitMs });
        await settle(await approvalOf(told() ?? ''), verb);
      },
    });
    expect({ verb, code: result.code }).toEqual({ verb, code });
    expect(result.stderr).toContain(`approval needed: ${verb} me\n  | line 1\n  | line 2\n`);
    expect(result.stderr).toMatch(verb === 'approve' ? /^approved/m : /^denied/m);
  }
}, 60_000);
