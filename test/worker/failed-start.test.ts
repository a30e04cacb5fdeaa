// A worker that has taken work before its start fails ends what runs: nothing of it outlives the process.
import { expect, test } from 'bun:test';
import { createHome, startBinary } from '../support/binary.ts';
import { startLocalServer } from '../support/local-server.ts';
import { startScriptedOpenAi } from '../support/model-servers.ts';
import { until } from '../support/until.ts';
import { queueName } from './lab.ts';

test('Ctrl+C before the worker is listed ends the tool that it already runs', async () => {
  const home = createHome();
  const command = { name: 'run_shell_command', arguments: { command: 'sleep 61.5' } };
  const model = await startScriptedOpenAi([{ type: 'calls', calls: [command] }]);
  const isRunning = (): boolean => home.processes().some((line) => line.includes('sleep 61.5'));
  try {
    const server = await startLocalServer({ home });
    // A control plane that lists no worker: the start waits for it in vain, while Temporal hands out work.
    const front = Bun.serve({
      port: 0,
      fetch: (request) => {
        const { pathname, search } = new URL(request.url);
        if (request.method === 'GET' && pathname.endsWith('/workers')) return Response.json([]);
        const { method, headers, body } = request;
        return fetch(`${server.url}${pathname}${search}`, { method, headers, body });
      },
    });
    await server.request('POST', '/api/v1/environments/default/worker-queues', { name: queueName });
    const queues = (await server.request('GET', '/api/v1/worker-queues')) as { id: string; name: string }[];
    await server.execute('go', queues.find(({ name }) => name === queueName)?.id ?? '');
    const worker = startBinary(['worker', 'start', '--queue-id', queueName], {
      home,
      environment: {
        CONTROL_PLANE_URL: `http://127.0.0.1:${front.port}`,
        KUBIYA_API_KEY: server.token,
        OPENAI_BASE_URL: model.url,
        OPENAI_API_KEY: 'sk-scripted',
        KUBIYA_MODEL: 'openai/scripted',
      },
    });
    await until(isRunning, { limitMs: 20_000, what: () => 'the tool runs' });
    expect((await worker.end('SIGINT')).code).toBe(130);
    expect(isRunning()).toBe(false);
    await front.stop(true);
    await server.stop();
    await home.waitUntilEmpty(5_000);
  } finally {
    await model.stop();
    home.remove();
  }
}, 60_000);
