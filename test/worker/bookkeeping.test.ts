// What a worker of the built program reports of its work, and what an agent's own shell may not do to its approvals.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { builtBinary } from '../support/binary.ts';
import { until } from '../support/until.ts';
import { queueName, startLab, type Lab } from './lab.ts';

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
}, 120_000);
afterAll(() => lab.stop(), 30_000);

const run = async (prompt: string): Promise<string> => {
  const body = { prompt, worker_queue_id: queueName, model_id: 'kubiya/offline' };
  const { execution_id: id } = (await lab.server.request('POST', '/api/v1/agents/default/execute', body)) as {
    execution_id: string;
  };
  await lab.server.ended(id, 30_000);
  return id;
};

test('turns and tool calls are summed up once, however the worker ends', async () => {
  const id = await run('run `echo one` and `false`');
  const summary = async () =>
    (await lab.server.request('GET', `/api/v1/analytics/summary?execution_id=${id}`)) as Record<string, unknown>;
  await until(async () => (await summary())['tool_calls'] === 2, { limitMs: 8_000 });
  const seen = await summary();
  const { turns } = seen as { turns: number };
  expect(turns).toBeGreaterThanOrEqual(2);
  expect(seen['models']).toMatchObject([{ model: 'kubiya/offline', turns }]);
  expect(seen['tools']).toMatchObject([{ tool_name: 'run_shell_command', calls: 2 }]);
  await lab.worker.process.end('SIGTERM');
  expect(await summary()).toEqual(seen);
  lab = await lab.restartWorker();
}, 60_000);

test('a shell of an agent has no token, and its kubiya answers no approval', async () => {
  const waiting = (await lab.server.request('POST', '/api/v1/agents/default/execute', {
    prompt: 'nobody takes this',
    worker_queue_id: 'default',
  })) as { execution_id: string };
  const asked = { execution_id: waiting.execution_id, title: 'deploy' };
  const { id: approval } = (await lab.server.request('POST', '/api/v1/approvals', asked)) as { id: string };
  const home = `HOME=${lab.home.directory} KUBIYA_HOME=${lab.home.kubiyaHome}`;
  const id = await run(`run \`env\` and \`${home} ${builtBinary()} execution approve ${approval}; echo "exit $?"\``);
  const outputs = (await lab.server.events(id))
    .filter(({ event_type: type }) => type === 'tool_completed')
    .map(({ data }) => String(data['tool_output']));
  expect(outputs).toHaveLength(2);
  expect(outputs[0]).toContain('KUBIYA_CALL_ID');
  expect(outputs[0]).not.toContain(lab.server.token);
  expect(outputs[0]).not.toContain('KUBIYA_API_KEY');
  expect(outputs[1]).toContain('an agent cannot answer an approval');
  expect(outputs[1]).toContain('exit 8');
  expect(await lab.server.request('GET', `/api/v1/approvals/${approval}`)).toMatchObject({ status: 'pending' });
  // A person may, with the same program.
  const answer = await lab.run(['execution', 'approve', approval]);
  expect(answer).toMatchObject({ code: 0, stderr: 'approved: deploy\n' });
}, 60_000);
