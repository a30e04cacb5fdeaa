// A worker that is started again after kill -9 goes on at once: it does not wait until its predecessor's heartbeats are missed.
import { expect, test } from 'bun:test';
import { createHome } from '../support/binary.ts';
import { startLocalServer } from '../support/local-server.ts';
import { startScriptedOpenAi } from '../support/model-servers.ts';
import { until } from '../support/until.ts';
import { readJournals, startWorkerProcess } from '../support/worker-process.ts';
import { queueName } from './lab.ts';

/** The timeouts alone need 3 s for the heartbeat and 2 s for the dead worker's own queue. */
const resumedWithinMs = 2_500;
const limitMs = 20_000;

test('a killed worker’s call is told to the model soon after the next worker is ready', async () => {
  const home = createHome();
  const command = { name: 'run_shell_command', arguments: { command: 'echo begun; sleep 60' } };
  const model = await startScriptedOpenAi([
    { type: 'calls', calls: [command] },
    { type: 'text', text: 'I know' },
  ]);
  try {
    const server = await startLocalServer({ home });
    const environment = { OPENAI_BASE_URL: model.url, OPENAI_API_KEY: 'sk-scripted', KUBIYA_MODEL: 'openai/scripted' };
    const first = await startWorkerProcess({ home, queue: queueName, environment });
    const queues = (await server.request('GET', '/api/v1/worker-queues')) as { id: string; name: string }[];
    const queueId = queues.find(({ name }) => name === queueName)?.id ?? '';
    const id = await server.execute('go', queueId);
    const hasStarted = (): boolean =>
      [...readJournals(first.journalDirectory).values()]
        .flat()
        .some(({ type, turn }) => type === 'output' && turn === 1);
    await until(hasStarted, { limitMs, intervalMs: 20, what: () => 'the command runs' });
    await first.process.end('SIGKILL');

    const second = await startWorkerProcess({ home, queue: queueName, environment });
    const isAskedAgain = (): boolean => model.requests.length === 2;
    await until(isAskedAgain, { limitMs, intervalMs: 20, what: () => 'the model is asked again' });
    expect(Date.now() - second.readyAtMs).toBeLessThan(resumedWithinMs);
    expect(await server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'I know' });
    expect(JSON.stringify(model.requests[1]?.body)).toContain('it is not known whether it took effect');
    const workers = (await server.request('GET', `/api/v1/worker-queues/${queueId}/workers`)) as { id: string }[];
    expect(workers.map((worker) => worker.id)).toEqual([second.workerId]);

    await second.process.end('SIGTERM');
    await server.stop();
    await home.waitUntilEmpty(5_000);
  } finally {
    await model.stop();
    home.remove();
  }
}, 60_000);
