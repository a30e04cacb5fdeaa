// A server without a worker: exec plans with the server's model, runs a worker of its own for the execution, and leaves nothing.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SavedPlan } from '../../src/protocol/planner.ts';
import { createHome, type Home, startBinary, tryKill } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { type ScriptedReply, type ScriptedServer, startScriptedOpenAi } from '../support/model-servers.ts';
import { runCommand } from '../support/run-binary.ts';
import { until } from '../support/until.ts';

let serverHome: Home;
let home: Home;
let model: ScriptedServer;
let server: LocalServer;
let replies: ScriptedReply[] = [];

beforeAll(async () => {
  [serverHome, home] = [createHome(), createHome()];
  model = await startScriptedOpenAi(() => replies.shift() ?? { type: 'status', status: 400, body: {} });
  const environment = { OPENAI_BASE_URL: model.url, OPENAI_API_KEY: 'k', KUBIYA_MODEL: 'openai/planner' };
  server = await startLocalServer({ home: serverHome, environment });
}, 90_000);
afterAll(async () => {
  await server.stop();
  await model.stop();
  for (const one of [serverHome, home]) {
    await one.waitUntilEmpty(5_000);
    one.remove();
  }
}, 60_000);

/** In a home of its own, so that what is left of it can be seen; the server of the other home counts as the local one. */
const options = () => ({ home, environment: { KUBIYA_HOME: serverHome.kubiyaHome } });
const offline = ['--model', 'kubiya/offline'];
const leftQueues = async () =>
  ((await server.request('GET', '/api/v1/worker-queues')) as { name: string }[]).map(({ name }) => name);
const workersLeft = (): readonly string[] => readdirSync(join(serverHome.kubiyaHome, 'workers'));

test('a worker is there for the execution and gone after it', async () => {
  const result = await runCommand(['exec', '--yes', ...offline, 'Run `echo from here`'], options());
  expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('from here') });
  expect(result.stderr).toMatch(
    /^No worker polls a queue, so one runs here for this execution, on the queue local-exec-/m,
  );
  expect(workersLeft()).toEqual([]);
  expect(await leftQueues()).toEqual(['default']);
  await home.waitUntilEmpty(2_000);
});

test('the plan of the model decides who does it, and the prompt is the one that was typed', async () => {
  await server.request('POST', '/api/v1/agents', { name: 'poet', description: 'writes verses' });
  const choice = { entity_type: 'agent', entity_id: 'poet', reasoning: 'verses are asked for' };
  const answer = JSON.stringify({ title: 'A verse', summary: 'Somebody writes.', recommended_execution: choice });
  replies = [
    { type: 'text', text: answer },
    { type: 'text', text: 'roses are red' },
  ];
  const before = model.requests.length;
  const environment = { ...options().environment, OPENAI_BASE_URL: model.url, OPENAI_API_KEY: 'k' };
  const words = ['exec', '--yes', '--save-plan', 'plan.json', '--model', 'openai/poet-model', 'a verse about roses'];
  const result = await runCommand(words, { home, environment });
  expect(result).toMatchObject({ code: 0, stdout: 'roses are red\n' });
  expect(result.stderr).toContain('agent      poet\nbecause    verses are asked for\n');
  const [planning, doing] = model.requests.slice(before).map(({ body }) => JSON.stringify(body));
  expect(planning).toContain('You plan how a task is carried out');
  expect(doing).toContain('a verse about roses');
  expect(doing).not.toContain('Somebody writes');
  const saved = JSON.parse(readFileSync(join(home.directory, 'plan.json'), 'utf8')) as SavedPlan;
  const execution = await server.execution(saved.execution_id ?? '');
  expect(execution).toMatchObject({ status: 'completed', response: 'roses are red' });
});

test('kill -9 leaves no process and no files', async () => {
  const running = startBinary(['exec', 'agent', 'default', ...offline, 'Run `sleep 300`'], options());
  await running.waitFor(/> run_shell_command/);
  tryKill(running.pid, 'SIGKILL');
  await home.waitUntilEmpty(5_000);
  await until(() => workersLeft().length === 0, { limitMs: 2_000 });
});

test('without a provider it is 6 and nothing was made', async () => {
  const result = await runCommand(['exec', 'agent', 'default', 'hi'], options());
  expect(result).toMatchObject({ code: 6, stdout: '' });
  expect(await leftQueues()).toEqual(['default']);
  expect(workersLeft()).toEqual([]);
});

test('a named queue waits for its own worker, and detaching does as well', async () => {
  const result = await runCommand(['exec', 'agent', 'default', '--detach', ...offline, 'hi'], options());
  expect(result.code).toBe(0);
  expect(result.stderr).toContain('no worker is polling the queue default, so the execution waits');
  await server.request('POST', `/api/v1/executions/${result.stdout.trim()}/cancel`);
});
