// Runs of a schedule with a real worker: an execution each, told to the job's history, also after kill -9 and a cancel.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ScriptedServer, startScriptedOpenAi } from '../support/model-servers.ts';
import { connectTemporal } from '../support/temporal-history.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';
import { type Lab, queueName, startLab } from './lab.ts';

let lab: Lab;
let model: ScriptedServer;
/** The one that runs now: a test kills it. */
let worker: WorkerProcess;
const environment = (): Record<string, string> => ({ OPENAI_BASE_URL: model.url, OPENAI_API_KEY: 'sk-test' });
beforeAll(async () => {
  // Whoever is asked runs the command of its prompt once, and then says so.
  model = await startScriptedOpenAi(({ body }) => {
    const messages = body['messages'] as { role: string; content: string }[];
    const [, command] = /do `(.*)`/.exec(messages.find(({ role }) => role === 'user')?.content ?? '') ?? [];
    if (messages.at(-1)?.role === 'tool' || command === undefined) return { type: 'text', text: 'Done.' };
    return { type: 'calls', calls: [{ name: 'run_shell_command', arguments: { command } }] };
  });
  lab = await startLab(environment());
  worker = lab.worker;
  await api('POST', 'teams', { name: 'crew', configuration: { member_ids: ['default'], llm: { model: 'openai/x' } } });
}, 90_000);
afterAll(async () => {
  await worker.process.end('SIGTERM');
  await lab.server.stop();
  lab.home.remove();
  await model.stop();
}, 60_000);

interface Run {
  readonly execution_id: string;
  readonly status: string;
  readonly error_message?: string | null;
}
const api = (method: string, path: string, body?: unknown): Promise<unknown> =>
  lab.server.request(method, `/api/v1/${path}`, body);
const gate = (name: string): string => join(lab.home.directory, name);

/** A job that runs once a second until its first run is there, which is given. */
async function firstRun(name: string, body: Record<string, unknown>): Promise<string> {
  const job = { name, interval_seconds: 1, worker_queue_id: queueName, model_id: 'openai/x', ...body };
  await api('POST', 'jobs', job);
  await until(async () => (await runsOf(name)).length > 0, { limitMs: 20_000, what: () => `a run of ${name}` });
  await api('PATCH', `jobs/${name}`, { enabled: false });
  return (await runsOf(name)).at(-1)?.execution_id ?? '';
}
const runsOf = (name: string): Promise<readonly Run[]> =>
  api('GET', `jobs/${name}/executions`) as Promise<readonly Run[]>;

async function wrapperOf(id: string): Promise<{ status: string; result: unknown }> {
  const { execution_metadata: metadata } = (await lab.server.execution(id)) as unknown as {
    execution_metadata: { started_by_workflow: string };
  };
  const temporal = await connectTemporal(lab.server.temporalAddress);
  const handle = temporal.client.workflow.getHandle(metadata.started_by_workflow);
  let status = '';
  await until(async () => (status = (await handle.describe()).status.name) !== 'RUNNING');
  const result = status === 'COMPLETED' ? await handle.result() : undefined;
  await temporal.close();
  return { status, result };
}

test('a run survives kill -9 of its worker and is one execution', async () => {
  const [reached, open, effect] = [gate('reached'), gate('open'), gate('effect')];
  const id = await firstRun('sturdy', {
    prompt: `do \`echo ran >> ${effect}; touch ${reached}; until [ -e ${open} ]; do sleep 0.05; done\``,
  });
  await until(() => existsSync(reached));
  worker.kill();
  writeFileSync(open, '');
  worker = await startWorkerProcess({ home: lab.home, queue: queueName, environment: environment() });
  expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed', response: 'Done.' });
  expect(await wrapperOf(id)).toMatchObject({ status: 'COMPLETED', result: { success: true, execution_id: id } });
  const runs = (await runsOf('sturdy')).filter(({ execution_id: one }) => one === id);
  expect(runs).toEqual([expect.objectContaining({ status: 'completed' })]);
  // A second one may have begun before the schedule was paused.
  expect(readFileSync(effect, 'utf8').split('\n').length - 1).toBe((await runsOf('sturdy')).length);
}, 60_000);

test('a team runs by a schedule as an agent does', async () => {
  const id = await firstRun('of-a-team', { prompt: 'say it', entity_type: 'team', entity_id: 'crew', model_id: null });
  expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed', execution_type: 'team' });
  expect(await wrapperOf(id)).toMatchObject({ status: 'COMPLETED', result: { response: 'Done.' } });
}, 60_000);

test('a run that a person cancels is cancelled in the history of its job', async () => {
  const reached = gate('cancel-reached');
  const id = await firstRun('hopeless', { prompt: `do \`touch ${reached}; sleep 300\`` });
  await until(() => existsSync(reached));
  await api('POST', `executions/${id}/cancel`);
  expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'cancelled' });
  await wrapperOf(id);
  expect((await runsOf('hopeless')).find(({ execution_id: one }) => one === id)).toMatchObject({ status: 'cancelled' });
}, 60_000);

test('a run whose job is deleted meanwhile comes to its end', async () => {
  const [reached, open] = [gate('orphan-reached'), gate('orphan-open')];
  const id = await firstRun('short-lived', {
    prompt: `do \`touch ${reached}; until [ -e ${open} ]; do sleep 0.05; done\``,
  });
  await until(() => existsSync(reached));
  await api('DELETE', 'jobs/short-lived');
  writeFileSync(open, '');
  expect(await lab.server.ended(id, 30_000)).toMatchObject({ status: 'completed' });
  expect(await wrapperOf(id)).toMatchObject({ status: 'COMPLETED', result: { success: true } });
}, 60_000);
