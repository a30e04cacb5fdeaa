// Teams against the real server: delegation side by side, one workspace, member events, slices, pause, cancel, kill -9, wrong teams.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { memberExecutionId, teamWorkflowId } from '../../src/protocol/workflow.ts';
import { createHome } from '../support/binary.ts';
import { connectTemporal } from '../support/temporal-history.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';
import { failureOf, type Lab, queueName, startLab } from './lab.ts';
import { type Scenario, type ScenarioReply, type Scenarios, startScenarios } from './scenarios.ts';

let lab: Lab;
let models: Scenarios;
/** The one that runs now: a test kills it. */
let worker: WorkerProcess;
const environment = (): Record<string, string> => ({
  OPENAI_BASE_URL: models.url,
  OPENAI_API_KEY: 'sk-test',
  PATH: `${programs}:${process.env['PATH'] ?? ''}`,
});
/** Where a program stands in for `claude`. */
const programs = mkdtempSync(join(tmpdir(), 'kubiya-programs-'));
/** The skills of the agent that every server has. */
let skillIds: readonly string[];
beforeAll(async () => {
  models = await startScenarios('openai');
  lab = await startLab(environment());
  worker = lab.worker;
  const agent = (await api('GET', 'agents/default')) as { skill_ids: string[] };
  skillIds = agent.skill_ids;
  for (const name of ['Ada', 'Bob', 'Cleo']) {
    const description = `${name} does what ${name} does`;
    await api('POST', 'agents', { name, description, model_id: 'openai/x', skill_ids: skillIds });
  }
  const { id } = (await api('GET', 'agents/Cleo')) as { id: string };
  const configuration = { member_ids: ['Ada', 'Bob'], instructions: ['Lead well.'], llm: { model: 'openai/x' } };
  await api('POST', 'teams', { name: 'crew', configuration });
  await api('PATCH', `agents/${id}`, { team_id: ((await api('GET', 'teams/crew')) as { id: string }).id });
}, 90_000);
afterAll(async () => {
  await worker.process.end('SIGTERM');
  await lab.server.stop();
  lab.home.remove();
  await models.stop();
  rmSync(programs, { recursive: true });
}, 60_000);

const api = (method: string, path: string, body?: unknown): Promise<unknown> =>
  lab.server.request(method, `/api/v1/${path}`, body);
const shell = (command: string) => ({ name: 'run_shell_command', arguments: { command } });
const ask = (member: string, { tag }: Scenario) => ({
  name: 'delegate_task_to_member',
  arguments: { member_id: member, task_description: `Please do ${tag}`, expected_output: 'one line' },
});
const says = (text: string): ScenarioReply => ({ type: 'text', text });
const runs = (...calls: ReturnType<typeof shell>[]): ScenarioReply => ({ type: 'calls', calls });
const delegates = (...calls: ReturnType<typeof ask>[]): ScenarioReply => ({ type: 'calls', calls });
const gate = (name: string): string => join(lab.home.directory, name);

async function begin(
  replies: readonly ScenarioReply[],
  team = 'crew',
  body = {},
): Promise<{ id: string; leader: Scenario }> {
  const leader = models.add(replies);
  const request = { prompt: `The task is ${leader.tag}`, worker_queue_id: queueName, ...body };
  const answer = (await api('POST', `teams/${team}/execute`, request)) as { execution_id: string };
  return { id: answer.execution_id, leader };
}

/** What a model was told by the results of its calls, at one of its requests. */
function toolResults({ requests }: Scenario, index: number): string[] {
  const messages = (requests[index]?.body['messages'] ?? []) as { role: string; content: string }[];
  return messages.filter(({ role }) => role === 'tool').map(({ content }) => content);
}

test('members work side by side in one workspace, and the leader gets their answers', async () => {
  const waitFor = (own: string, other: string): ScenarioReply =>
    runs(shell(`echo of-${own} > ${own}.txt; until [ -s ${other}.txt ]; do sleep 0.05; done; cat ${other}.txt`));
  const ada = models.add([waitFor('ada', 'bob'), says('Ada is done.')]);
  const bob = models.add([waitFor('bob', 'ada'), says('Bob is done.')]);
  const { id, leader } = await begin([delegates(ask('Ada', ada), ask('bob', bob)), says('Both are done.')]);
  const execution = await lab.server.ended(id, 30_000);
  expect(execution).toMatchObject({ status: 'completed', response: 'Both are done.', execution_type: 'team' });

  expect(toolResults(ada, 1)).toEqual([expect.stringContaining('of-bob')]);
  expect(toolResults(bob, 1)).toEqual([expect.stringContaining('of-ada')]);
  expect(toolResults(leader, 1)).toEqual(['Ada is done.', 'Bob is done.']);
  const [system, prompt] = (leader.requests[0]?.body['messages'] ?? []) as { content: string }[];
  expect(system?.content).toContain('Lead well.');
  for (const name of ['Ada', 'Bob', 'Cleo']) expect(system?.content).toContain(`${name} does what ${name} does`);
  expect(prompt?.content).toContain(leader.tag);
  // Each member is told nothing but its task.
  expect(JSON.stringify(ada.requests[0]?.body['messages'])).not.toContain(leader.tag);
  expect(JSON.stringify(ada.requests[0]?.body['messages'])).toContain('Expected output');
  // Two turns each of 10 and 5 tokens, for three agents.
  expect((execution as unknown as { usage: object }).usage).toMatchObject({ prompt_tokens: 60, completion_tokens: 30 });
}, 60_000);

test('what members do is told as theirs, and only what the leader says is a message of the team', async () => {
  const ada = models.add([runs(shell('echo hello')), says('Ada says hello.')]);
  const { id } = await begin([delegates(ask('Ada', ada)), says('Ada said hello.')]);
  await lab.server.ended(id, 30_000);
  const events = await lab.server.events(id);
  const of = (type: string) => events.filter(({ event_type }) => event_type === type).map(({ data }) => data);
  const ofAda = { member_name: 'Ada', parent_message_id: `${id}:1:model` };
  expect(of('member_tool_started')).toEqual([expect.objectContaining({ ...ofAda, tool_name: 'run_shell_command' })]);
  expect(of('member_tool_completed')).toEqual([expect.objectContaining({ ...ofAda, status: 'success' })]);
  expect(of('member_message_complete')).toEqual([expect.objectContaining({ ...ofAda, content: 'Ada says hello.' })]);
  expect(of('message').map(({ role, content }) => [role, content])).toEqual([
    ['user', expect.stringContaining('The task is')],
    ['assistant', 'Ada said hello.'],
  ]);
  expect(of('tool_started')).toEqual([expect.objectContaining({ tool_name: 'delegate_task_to_member' })]);
  expect(of('tool_completed')).toEqual([
    expect.objectContaining({ status: 'success', tool_output: 'Ada says hello.' }),
  ]);
  expect(of('run_started')).toHaveLength(1);
  expect(of('done')).toHaveLength(1);
}, 60_000);

test('one call hands the same task to everyone; a member that fails and one that nobody knows are results', async () => {
  let asked = 0;
  const all = models.add([
    ...[0, 1].map((): ScenarioReply => () => ({ type: 'text', text: `answer ${(asked += 1)}` })),
    { type: 'status', status: 400, body: { error: { message: 'this prompt is not for me' } } },
  ]);
  const { id, leader } = await begin([
    { type: 'calls', calls: [{ name: 'delegate_task_to_members', arguments: { task_description: `Do ${all.tag}` } }] },
    delegates(ask('Zoe', all)),
    says('Two of three.'),
  ]);
  expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed', response: 'Two of three.' });
  const [together = ''] = toolResults(leader, 1);
  expect(together.match(/^## \w+$/gm)).toEqual(['## Ada', '## Bob', '## Cleo']);
  expect(together).toContain('answer 1');
  expect(together).toContain('answer 2');
  expect(together).toMatch(/(Ada|Bob|Cleo) did not finish: .*this prompt is not for me/);
  expect(toolResults(leader, 2).at(-1)).toMatch(/no member Zoe: its members are Ada .*Bob .*Cleo/);
}, 60_000);

test('a member gets a slice of what is left of the limits, and what it spends is the team’s', async () => {
  const configuration = { member_ids: ['Ada'], llm: { model: 'openai/x' }, limits: { turns: 6 } };
  await api('POST', 'teams', { name: 'thrifty', configuration });
  // Five turns are left after the leader's first: two for Ada, and three for the leader.
  const ada = models.add([runs(shell('echo 1')), runs(shell('echo 2'))]);
  const again = models.add([runs(shell('echo 3'))]);
  const { id, leader } = await begin(
    [delegates(ask('Ada', ada)), delegates(ask('Ada', again)), says('That was all.')],
    'thrifty',
  );
  expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed', response: 'That was all.' });
  expect(toolResults(leader, 1)).toEqual([
    expect.stringContaining('Ada did not finish: The execution reached its limit of 2 turns'),
  ]);
  // Of six turns four are spent: the second part gets one of the two that are left.
  expect(toolResults(leader, 2)[1]).toContain('limit of 1 turns');
}, 60_000);

test('a member’s time is a part of its team’s, and its tools end with it', async () => {
  const configuration = { member_ids: ['Ada'], llm: { model: 'openai/x' }, limits: { wall_time_seconds: 4 } };
  await api('POST', 'teams', { name: 'hasty', configuration });
  const file = gate('hasty.pid');
  const ada = models.add([runs(shell(`echo $$ > ${file}; exec sleep 300`))]);
  const { id, leader } = await begin([delegates(ask('Ada', ada)), says('Too slow.')], 'hasty');
  expect(await lab.server.ended(id, 20_000)).toMatchObject({ status: 'completed', response: 'Too slow.' });
  expect(toolResults(leader, 1)[0]).toContain('reached its time limit');
  expect(existsSync(`/proc/${readFileSync(file, 'utf8').trim()}`)).toBe(false);
}, 60_000);

test('pause and resume reach the members', async () => {
  const [reached, open] = [gate('member-reached'), gate('member-open')];
  const ada = models.add([
    runs(shell(`touch ${reached}; until [ -e ${open} ]; do sleep 0.05; done`)),
    says('Ada went on.'),
  ]);
  const { id } = await begin([delegates(ask('Ada', ada)), says('So did I.')]);
  await until(() => existsSync(reached));
  await api('POST', `executions/${id}/pause`);
  writeFileSync(open, '');
  await until(async () =>
    (await lab.server.events(id)).some(({ event_type }) => event_type === 'member_tool_completed'),
  );
  await new Promise((done) => setTimeout(done, 500));
  expect(ada.requests).toHaveLength(1);
  await api('POST', `executions/${id}/resume`);
  expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed', response: 'So did I.' });
}, 60_000);

test('a team that is paused in the middle of its members’ work can be cancelled', async () => {
  const file = gate('paused.pid');
  const ada = models.add([runs(shell(`echo $$ > ${file}; exec sleep 300`))]);
  const { id } = await begin([delegates(ask('Ada', ada))]);
  await until(() => existsSync(file) && readFileSync(file, 'utf8') !== '');
  await api('POST', `executions/${id}/pause`);
  await until(async () => (await lab.server.execution(id)).status === 'paused');
  await api('POST', `executions/${id}/cancel`);
  expect(await lab.server.ended(id, 20_000)).toMatchObject({ status: 'cancelled' });
  expect(existsSync(`/proc/${readFileSync(file, 'utf8').trim()}`)).toBe(false);
}, 60_000);

test('in a conversation with a team every task is another part, and its members start afresh', async () => {
  const [first, second] = [models.add([says('one')]), models.add([says('two')])];
  const { id, leader } = await begin(
    [delegates(ask('Ada', first)), says('First.'), delegates(ask('Ada', second)), says('Second.')],
    'crew',
    { is_conversation: true },
  );
  const isWaiting = async (): Promise<boolean> => (await lab.server.execution(id)).status === 'waiting_for_input';
  await until(isWaiting);
  await api('POST', `executions/${id}/message`, { message: 'And another one' });
  await until(async () => leader.requests.length === 4 && (await isWaiting()));
  await api('POST', `executions/${id}/mark-done`);
  expect(await lab.server.ended(id, 20_000)).toMatchObject({ status: 'completed', response: 'Second.' });
  expect(toolResults(leader, 3)).toEqual(['one', 'two']);
  expect(JSON.stringify(second.requests[0]?.body['messages'])).not.toContain(first.tag);
}, 60_000);

test('a member that waits for an approval gets the answer of a person', async () => {
  const asks = { name: 'wait_for_approval', arguments: { title: 'Delete everything?' } };
  const ada = models.add([{ type: 'calls', calls: [asks] }, says('Ada may do it.')]);
  const { id } = await begin([delegates(ask('Ada', ada)), says('So it was done.')]);
  const waiting = async () =>
    (await api('GET', `approvals?execution_id=${id}`)) as { id: string; status: string }[] | undefined;
  await until(async () => ((await waiting())?.length ?? 0) > 0);
  await api('POST', `approvals/${(await waiting())?.[0]?.id}/approve`, {});
  expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed', response: 'So it was done.' });
  expect(toolResults(ada, 1)[0]).toMatch(/^Approved/);
}, 60_000);

test('a cancel ends the members and their tools before the team has ended', async () => {
  const pids = [gate('ada.pid'), gate('bob.pid')];
  const parts = pids.map((file) => models.add([runs(shell(`echo $$ > ${file}; exec sleep 300`))]));
  const [ada, bob] = parts as [Scenario, Scenario];
  const { id } = await begin([delegates(ask('Ada', ada), ask('Bob', bob))]);
  await until(() => pids.every((file) => existsSync(file) && readFileSync(file, 'utf8') !== ''));
  expect(await api('GET', `executions/${id}/inspect`)).toMatchObject({
    activities: [{ tool_name: 'run_shell_command' }, { tool_name: 'run_shell_command' }],
    waits_for: 'the tool run_shell_command and 1 more (attempt 1)',
  });
  await api('POST', `executions/${id}/cancel`);
  expect(await lab.server.ended(id, 20_000)).toMatchObject({ status: 'cancelled' });
  for (const file of pids) expect(existsSync(`/proc/${readFileSync(file, 'utf8').trim()}`)).toBe(false);
  const temporal = await connectTemporal(lab.server.temporalAddress);
  for (const number of [1, 2]) {
    const workflowId = teamWorkflowId(memberExecutionId(id, number));
    const { status } = await temporal.client.workflow.getHandle(workflowId).describe();
    expect(status.name).not.toBe('RUNNING');
  }
  await temporal.close();
}, 60_000);

test('kill -9 while two members work: their calls are finished or told as interrupted, and the team goes on', async () => {
  const [started, counter] = [gate('killed-started'), gate('killed-counter')];
  const ada = models.add([
    runs(shell(`echo ada >> ${counter}`)),
    runs(shell(`touch ${started}; echo waiting; sleep 30`)),
    says('Ada is back.'),
  ]);
  const { id, leader } = await begin([delegates(ask('Ada', ada)), says('Welcome back.')]);
  await until(() => existsSync(started));
  worker.kill();
  worker = await startWorkerProcess({ home: lab.home, queue: queueName, environment: environment() });
  expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed', response: 'Welcome back.' });
  expect(readFileSync(counter, 'utf8')).toBe('ada\n');
  expect(toolResults(ada, 2)[1]).toContain('it is not known whether it took effect');
  expect(toolResults(leader, 1)).toEqual(['Ada is back.']);
}, 60_000);

test('when the worker that holds the workspace is gone, all members go on on the same other one', async () => {
  await api('POST', 'environments/default/worker-queues', { name: 'pair' });
  // Three, so that two members could choose differently.
  const homes = [createHome(), createHome(), createHome()];
  const cloud = { CONTROL_PLANE_URL: lab.server.url, KUBIYA_API_KEY: lab.server.token, ...environment() };
  const workers = await Promise.all(
    homes.map((home) => startWorkerProcess({ home, queue: 'pair', environment: cloud })),
  );
  try {
    const before = gate('pair-before');
    const part = (own: string, other: string): ScenarioReply[] => [
      runs(shell(`pwd >> ${before}; sleep 60`)),
      runs(shell(`echo ${own} > ${own}.txt; until [ -s ${other}.txt ]; do sleep 0.05; done; cat ${other}.txt`)),
      says(`${own} is done.`),
    ];
    const [ada, bob] = [models.add(part('ada', 'bob')), models.add(part('bob', 'ada'))] as const;
    const { id, leader } = await begin([delegates(ask('Ada', ada), ask('Bob', bob)), says('All moved.')], 'crew', {
      worker_queue_id: 'pair',
    });
    const directories = (): string[] => (existsSync(before) ? readFileSync(before, 'utf8').trim().split('\n') : []);
    await until(() => directories().length === 2);
    const [directory = '', same] = directories();
    expect(same).toBe(directory);
    workers[homes.findIndex((home) => directory.startsWith(home.directory))]?.kill();
    expect(await lab.server.ended(id, 40_000)).toMatchObject({ status: 'completed', response: 'All moved.' });
    for (const [scenario, other] of [[ada, 'bob'] as const, [bob, 'ada'] as const]) {
      const told = toolResults(scenario, 2);
      expect(told[1]).toContain(other);
      expect(told.join('\n').match(/a new, empty workspace/g)).toHaveLength(1);
    }
    expect(toolResults(leader, 1)).toEqual(['ada is done.', 'bob is done.']);
  } finally {
    for (const { process } of workers) if (!process.hasExited) await process.end('SIGTERM');
    for (const home of homes) home.remove();
  }
}, 90_000);

test('`kubiya exec team` runs a team by its name and shows whose work it is', async () => {
  const ada = models.add([runs(shell('echo from-ada')), says('Ada is\nquick.')]);
  const leader = models.add([delegates(ask('Ada', ada)), says('The team is done.')]);
  const words = ['exec', 'team', 'crew', `Do ${leader.tag}`, '--queue', queueName];
  const text = await lab.run(words);
  expect(text).toMatchObject({ code: 0, stdout: 'The team is done.\n' });
  expect(text.stderr).toMatch(/^\[Ada\] > run_shell_command echo from-ada$/m);
  expect(text.stderr).toContain('[Ada]   | from-ada\n');
  expect(text.stderr).toContain('[Ada] Ada is\n[Ada] quick.\n');
  const unknown = await lab.run(['exec', 'team', 'nobody', 'x']);
  expect(unknown.code).toBe(4);
  expect(failureOf(unknown).error).toMatch(/nobody/);
}, 60_000);

test('a member of the runtime claude_code does its part with the program', async () => {
  const fixture = join(import.meta.dir, 'claude-program.fixture.ts');
  writeFileSync(join(programs, 'claude'), `#!/bin/sh\nexec ${process.execPath} ${fixture} "$@"\n`, { mode: 0o755 });
  const member = (await api('POST', 'agents', { name: 'Coder', runtime: 'claude_code' })) as { id: string };
  const configuration = { member_ids: [member.id], llm: { model: 'openai/x' } };
  await api('POST', 'teams', { name: 'mixed', configuration });
  const task = { member_id: 'Coder', task_description: 'hello' };
  const { id, leader } = await begin(
    [{ type: 'calls', calls: [{ name: 'delegate_task_to_member', arguments: task }] }, says('It answered.')],
    'mixed',
  );
  expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed', response: 'It answered.' });
  expect(toolResults(leader, 1)).toEqual(['The answer to: hello']);
  const events = await lab.server.events(id);
  expect(events.filter(({ event_type: type }) => type === 'member_tool_completed')).toEqual([
    expect.objectContaining({ data: expect.objectContaining({ tool_name: 'Bash', member_name: 'Coder' }) }),
  ]);
}, 60_000);

test('a team without members, one with a team as its member, and one of another runtime fail with a sentence', async () => {
  const claude = (await api('POST', 'agents', { name: 'Claude', runtime: 'claude_code' })) as { id: string };
  const nested = { name: 'nested', configuration: { member_ids: ['crew'] } };
  await expect(api('POST', 'teams', nested)).rejects.toThrow(/answered 400.*crew/);
  await api('POST', 'teams', { name: 'empty', configuration: { member_ids: [] } });
  await api('POST', 'teams', { name: 'claude', runtime: 'claude_code', configuration: { member_ids: [claude.id] } });
  for (const [team, sentence] of [
    ['empty', /^The team empty has no members$/],
    ['claude', /runtime claude_code/],
  ] as const) {
    const ended = await lab.server.ended((await begin([], team)).id, 20_000);
    expect(ended.status).toBe('failed');
    expect(ended.error_message).toMatch(sentence);
  }
}, 30_000);
