// Everything that has a name: created, shown, changed and deleted with the built program against its own server.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHome } from '../support/binary.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { runCommand, type CommandResult } from '../support/run-binary.ts';

const home = createHome();
let server: LocalServer;

beforeAll(async () => {
  server = await startLocalServer({ home });
}, 120_000);
afterAll(async () => {
  await server.stop();
  home.remove();
}, 30_000);

const run = (line: readonly string[], stdin = ''): Promise<CommandResult> => runCommand(line, { home, stdin });
const words = (line: string): string[] => line.split(' ');
/** The command has to work; gives what it printed as JSON. */
const json = async (line: readonly string[], stdin = ''): Promise<Record<string, unknown>> => {
  const result = await run([...line, '--json'], stdin);
  expect(result).toMatchObject({ code: 0, stderr: '' });
  return JSON.parse(result.stdout) as Record<string, unknown>;
};
/** Code, and what is said. */
const refused = async (line: readonly string[], code: number, stdin = ''): Promise<string> => {
  const result = await run(line, stdin);
  expect(result).toMatchObject({ code, stdout: '' });
  return result.stderr;
};
const file = (name: string, text: string): string => {
  const path = join(home.directory, name);
  writeFileSync(path, text);
  return path;
};

test('agents: what is given replaces, the rest stays', async () => {
  await json(words('skill create --name reading --type shell'));
  await json(words('environment create --name staging --variable STAGE=staging'));
  const created = await json([
    ...words('agent create --name reviewer --skill reading --model m --environment staging'),
  ]);
  expect(created).toMatchObject({ name: 'reviewer', model_id: 'm', skill_ids: [expect.any(String)] });
  const updated = await json([...words('agent update reviewer --name critic --system-prompt'), 'Be strict.']);
  expect(updated).toMatchObject({ name: 'critic', system_prompt: 'Be strict.', model_id: 'm' });
  expect(updated['skill_ids']).toHaveLength(1);
  expect(updated['environment_ids']).toHaveLength(1);
  expect(await refused(words('agent update critic'), 2)).toBe(
    'error: there is nothing to change\nhint: name a field with a flag, or several in --file\n',
  );
  expect(await refused(words('agent update reviewer --model x'), 4)).toContain('there is no agent "reviewer"');
});

test('deleting asks, and where nobody can be asked it needs --yes', async () => {
  await json(words('agent create --name doomed'));
  expect(await refused(words('agent delete doomed'), 2)).toBe(
    'error: deleting the agent doomed needs a confirmation\nhint: add --yes\n',
  );
  expect(await run(words('agent delete doomed --yes'))).toMatchObject({
    code: 0,
    stdout: '',
    stderr: 'the agent doomed was deleted\n',
  });
  expect(await refused(words('agent delete doomed --yes'), 4)).toContain('there is no agent "doomed"');
  await json(words('queue create --name side'));
  expect(await json(words('queue delete side --yes'))).toMatchObject({ deleted: true, name: 'side' });
  expect(await refused(words('environment delete default --yes'), 4)).toContain('cannot be deleted');
});

test('teams: members by name, one at a time, and no deletion of a member', async () => {
  for (const name of ['tester', 'deployer', 'auditor']) await json(['agent', 'create', '--name', name]);
  const team = await json([
    ...words('team create --name release --member tester --member deployer --model m --instructions'),
    'Test, then deploy',
  ]);
  expect(team['configuration']).toMatchObject({ instructions: 'Test, then deploy', llm: { model: 'm' } });
  const changed = await json([
    ...words('team update release --add-member auditor --remove-member tester --instructions'),
    'Deploy',
  ]);
  const configuration = changed['configuration'] as Record<string, unknown>;
  // Neither the model nor the members were lost with the new instructions.
  expect(configuration).toMatchObject({ instructions: 'Deploy', llm: { model: 'm' } });
  expect(configuration['member_ids']).toHaveLength(2);
  const table = (await run(words('team list'))).stdout;
  expect(table).toContain('deployer, auditor');
  expect(await json(words('team get release'))).toMatchObject({ name: 'release' });
  const stderr = await refused(words('agent delete auditor --yes'), 4);
  expect(stderr).toContain('is a member of the team release');
  expect(stderr).toContain('kubiya team update release --remove-member auditor');
  expect(await refused(words('team update release --add-member auditor'), 4)).toContain('is a member already');
  expect(await refused(words('team create --name x --member nobody'), 4)).toContain('there is no agent "nobody"');
  expect((await run(words('team delete release --yes'))).code).toBe(0);
  expect((await run(words('agent delete auditor --yes'))).code).toBe(0);
});

test('secrets that this control plane does not keep are refused, not left out', async () => {
  for (const line of [
    'job create --name s --every 1h --prompt x --secret TOKEN',
    'exec agent default x --detach --secret TOKEN',
  ])
    expect(await refused(words(line), 4)).toContain('keeps no secrets, so it has no TOKEN\nhint: give the value with');
});

test('skills, environments, queues and models', async () => {
  const types = await json(words('skill types'));
  expect(types).toContainEqual(
    expect.objectContaining({
      type: 'docker',
      variants: expect.arrayContaining([expect.objectContaining({ name: 'containers_only' })]),
      keys: expect.arrayContaining([expect.objectContaining({ name: 'max_containers' })]),
    }),
  );
  await json([...words('skill create --name safe --type shell --config'), '{"timeout":10,"allowed_commands":["ls"]}']);
  const skill = await json([...words('skill update safe --disable --config'), '{"timeout":30}']);
  expect(skill).toMatchObject({ enabled: false, configuration: { timeout: 30, allowed_commands: ['ls'] } });
  expect(await refused(words('skill update safe --enable --disable'), 2)).toContain('contradict each other');
  // A policy with a typing error is none, and whoever wrote it has to hear that.
  const misspelt = await run([
    ...words('skill create --name loose --type shell --config'),
    '{"allowed_comands":["ls"]}',
  ]);
  expect(misspelt).toMatchObject({ code: 0, stderr: expect.stringContaining('no setting allowed_comands') });
  expect((await run(words('skill update safe --enable'))).stderr).toBe('');
  await json(words('environment create --name canary --variable A=1 --variable B=2'));
  const environment = await json(words('environment update canary --variable B=3'));
  expect(environment['execution_environment']).toMatchObject({ env_vars: { A: '1', B: '3' } });
  expect(await refused(words('environment update canary --variable B'), 2)).toContain('has no value');
  await json(words('queue create --name ci --environment canary --max-workers 2'));
  expect(await json(words('queue update ci --status paused --name ci-large'))).toMatchObject({
    name: 'ci-large',
    status: 'paused',
    max_workers: 2,
  });
  expect(await refused(words('queue update ci-large --status closed'), 2)).toContain('--status');
  await json(words('model create local/llama --input-price 0.5'));
  expect(await json(words('model update local/llama --output-price 2 --disable'))).toMatchObject({
    provider: 'local',
    enabled: false,
    pricing: { input: 0.5, output: 2 },
  });
  expect((await run(words('model delete local/llama --yes'))).code).toBe(0);
  expect(await refused(words('model update local/llama --enable'), 4)).toContain('local/llama');
});

describe('--file', () => {
  test('YAML creates, what `get` printed updates, flags win', async () => {
    const path = file('agent.yaml', 'name: from-file\nsystem_prompt: |\n  Line one.\n  Line two.\nmodel_id: m\n');
    expect(await json(['agent', 'create', '--file', path, '--model', 'other'])).toMatchObject({
      name: 'from-file',
      system_prompt: 'Line one.\nLine two.\n',
      model_id: 'other',
    });
    const shown = await run(words('agent get from-file --json'));
    const edited = shown.stdout.replace('Line one.', 'First line.');
    expect(await json(words('agent update from-file --file -'), edited)).toMatchObject({
      system_prompt: 'First line.\nLine two.\n',
      model_id: 'other',
    });
  });

  test.each([
    ['a field that is none', 'name: x\nsystem_promt: y\n', 'did you mean system_prompt?'],
    ['a value of another type', 'name: x\ncapabilities: all\n', 'capabilities'],
    ['no name', 'description: x\n', 'name: is required'],
    ['a list', '- a\n', 'holds no fields'],
    ['no YAML', 'name: "x\n', 'cannot be read'],
  ])('%s is refused', async (_name, text, said) => {
    expect(await refused(['agent', 'create', '--file', file('bad.yaml', text)], 2)).toContain(said);
  });

  test('a file that is not there, and neither file nor name', async () => {
    expect(await refused(words('agent create --file absent.yaml'), 2)).toContain('cannot be read');
    expect(await refused(words('skill create --name x'), 2)).toContain('--type is missing');
  });
});

test('model test: the offline model answers, an unknown provider is said', async () => {
  expect(await json(words('model test kubiya/offline'))).toMatchObject({ model: 'kubiya/offline' });
  expect((await run(words('model test kubiya/offline'))).stdout).toMatch(/^kubiya\/offline answered in \d+ ms/);
  const stderr = await refused(words('model test anthropic/claude-sonnet-4-5'), 6);
  expect(stderr).toContain('ANTHROPIC_API_KEY');
});

describe('an execution', () => {
  // Nobody polls the queue: it waits, and what is said to it waits with it.
  const start = (prompt: string): Promise<string> => server.execute(prompt, 'default');

  test('is listed by agent, team, type and queue', async () => {
    const id = await start('find me');
    await json(words('agent create --name lone'));
    await json(words('team create --name crew --member lone'));
    const listed = async (line: string): Promise<string[]> =>
      ((await json(words(`execution list ${line}`))) as unknown as { id: string }[]).map((row) => row.id);
    expect(await listed('--agent default --type agent --queue default --status pending')).toContain(id);
    expect(await listed('--type team')).toEqual([]);
    expect(await listed('--team crew')).toEqual([]);
    expect(await refused(words('execution list --team crew --agent lone'), 2)).toContain('exclude each other');
  });

  test('takes messages and its end, from an argument, stdin and a file', async () => {
    const id = await start('talk to me');
    const say = (line: readonly string[], stdin = ''): Promise<CommandResult> =>
      run(['execution', 'message', id, ...line], stdin);
    expect(await say(['first'])).toMatchObject({ code: 0, stdout: '', stderr: 'the message was delivered\n' });
    expect((await say(['-'], 'second\n')).code).toBe(0);
    expect((await say(['--message-file', file('third.txt', 'third')])).code).toBe(0);
    for (const _time of [1, 2]) expect((await say(['fourth', '--message-id', 'm-4'])).code).toBe(0);
    const messages = (await server.events(id)).filter(({ event_type: type }) => type === 'message');
    expect(messages.map(({ data }) => data['content'])).toEqual(['first', 'second', 'third', 'fourth']);
    expect(await say([' '])).toMatchObject({ code: 2 });
    expect(await run(['execution', 'done', id])).toMatchObject({ code: 0, stderr: 'the conversation ends\n' });
    await server.request('POST', `/api/v1/executions/${id}/terminate`, {});
    expect(await refused(['execution', 'message', id, 'late'], 4)).toContain('already terminated');
    expect(await refused(['execution', 'done', id], 4)).toContain('already terminated');
    expect(await refused(words('execution message nobody hi'), 4)).toContain('nobody');
  });

  test('gets approvals and refusals, by its id or theirs', async () => {
    expect((await run(words('execution approve'))).stderr).toBe('nothing waits for an approval\n');
    const id = await start('deploy');
    const ask = async (title: string): Promise<string> => {
      const body = { execution_id: id, title, context: { command: `make ${title}` }, call_id: title };
      return ((await server.request('POST', '/api/v1/approvals', body)) as { id: string }).id;
    };
    const first = await ask('deploy');
    const table = (await run(words('execution approve'))).stdout;
    expect(table).toContain(first);
    expect(table).toContain('deploy – {"command":"make deploy"}');
    const second = await ask('announce');
    const ambiguous = await refused(['execution', 'approve', id], 2);
    expect(ambiguous).toContain('waits for 2 approvals');
    expect(ambiguous).toContain(second);
    const denied = await json(['execution', 'deny', second, '--reason', 'too loud']);
    expect(denied).toMatchObject({ id: second, status: 'rejected', rejection_reason: 'too loud' });
    expect(await run(['execution', 'approve', id])).toMatchObject({ code: 0, stderr: 'approved: deploy\n' });
    expect(await refused(['execution', 'approve', id], 4)).toContain('waits for no approval');
    expect(await refused(['execution', 'approve', second], 4)).toContain('already rejected');
    expect(await refused(words('execution deny nobody'), 4)).toContain('nobody');
    expect(await refused(words('execution deny --reason x'), 2)).toContain('--reason belongs to an answer');
  });
});
