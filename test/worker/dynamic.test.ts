// Executions that bring their agent along: prompt, skills and model come from the request, and so does what a later worker needs.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../support/until.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';
import { type Lab, queueName, startLab } from './lab.ts';
import { type Scenarios, startScenarios } from './scenarios.ts';

let lab: Lab;
let models: Scenarios;
/** The one that runs now: a test kills it. */
let worker: WorkerProcess;
const environment = (): Record<string, string> => ({ OPENAI_BASE_URL: models.url, OPENAI_API_KEY: 'sk-test' });
beforeAll(async () => {
  models = await startScenarios('openai');
  lab = await startLab(environment());
  worker = lab.worker;
  for (const type of ['shell', 'file_system']) await api('POST', 'skills', { name: `my-${type}`, type });
}, 90_000);
afterAll(async () => {
  await worker.process.end('SIGTERM');
  await lab.server.stop();
  lab.home.remove();
  await models.stop();
}, 60_000);

const api = (method: string, path: string, body?: unknown): Promise<unknown> =>
  lab.server.request(method, `/api/v1/${path}`, body);
async function begin(prompt: string, entity: Record<string, unknown>): Promise<string> {
  const request = { prompt, worker_queue_id: queueName, entity: { model_id: 'openai/x', ...entity } };
  const answer = (await api('POST', 'dynamic-executions/execute', request)) as { execution_id: string };
  return answer.execution_id;
}

test('the agent of the request runs, with its prompt, its model and its skills, also after kill -9', async () => {
  const [reached, open] = ['reached', 'open'].map((name) => join(lab.home.directory, name)) as [string, string];
  const scenario = models.add([
    { type: 'calls', calls: [{ name: 'run_shell_command', arguments: { command: `touch ${reached}` } }] },
    {
      type: 'calls',
      calls: [{ name: 'run_shell_command', arguments: { command: `until [ -e ${open} ]; do sleep 0.05; done` } }],
    },
    { type: 'text', text: 'It was done.' },
  ]);
  const id = await begin(`Do ${scenario.tag}`, {
    name: 'Passing',
    system_prompt: 'You exist for this one task.',
    model_params: { temperature: 0.25 },
    skill_ids: ['my-shell'],
  });
  await until(() => existsSync(reached));
  worker.kill();
  writeFileSync(open, '');
  worker = await startWorkerProcess({ home: lab.home, queue: queueName, environment: environment() });
  expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed', response: 'It was done.' });

  const body = scenario.requests[0]?.body ?? {};
  expect(body).toMatchObject({ model: 'x', temperature: 0.25 });
  expect((body['messages'] as { content: string }[])[0]?.content).toContain('You exist for this one task.');
  const tools = (body['tools'] as { function: { name: string } }[]).map((tool) => tool.function.name);
  expect(tools).toContain('run_shell_command');
  expect(tools).not.toContain('read_file');
  expect(((await api('GET', 'agents')) as { name: string }[]).map(({ name }) => name)).not.toContain('Passing');
}, 60_000);

test('a skill that was deleted meanwhile, and an agent that is a team, are told in a sentence', async () => {
  const scenario = models.add([]);
  await expect(begin(`Do ${scenario.tag}`, { system_prompt: 'x', entity_type: 'team' })).rejects.toThrow(
    /is one agent/,
  );
  await expect(begin(`Do ${scenario.tag}`, { system_prompt: 'x', skill_ids: ['no-such-skill'] })).rejects.toThrow(
    /no skill .*no-such-skill/,
  );
});
