// A control plane that hangs holds no turn up.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHome, type Home } from '../support/binary.ts';
import { behind, startFront } from '../support/front.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { startScriptedOpenAi } from '../support/model-servers.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess } from '../support/worker-process.ts';

const limitMs = 60_000;
let home: Home;
let server: LocalServer;
beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home });
  await server.request('POST', '/api/v1/environments/default/worker-queues', { name: 'hanging' });
}, limitMs);
afterAll(async () => {
  await server.stop();
  await home.waitUntilEmpty(5_000);
  home.remove();
}, limitMs);

test(
  'a control plane that hangs holds no turn up, and learns of all of them afterwards',
  async () => {
    const turns = 30;
    const front = startFront(server);
    const asked: number[] = [];
    const model = await startScriptedOpenAi((_request, index) => {
      asked.push(performance.now());
      return index < turns
        ? { type: 'calls', calls: [{ name: 'run_shell_command', arguments: { args: ['echo', String(index)] } }] }
        : { type: 'text', text: 'all turns are done' };
    });
    const environment = { OPENAI_BASE_URL: model.url, OPENAI_API_KEY: 'scripted', ...behind(front, server) };
    const worker = await startWorkerProcess({ home, queue: 'hanging', words: ['--model', 'openai/any'], environment });
    try {
      const id = await server.execute('go', 'hanging');
      await until(() => asked.length >= 3, { limitMs });
      front.say(() => ({ type: 'hang' }));
      await until(() => asked.length > turns, { limitMs });
      // Nothing but the first turns has arrived there.
      expect((await server.events(id)).filter(({ event_type: type }) => type === 'tool_completed').length).toBeLessThan(
        turns / 2,
      );
      front.say(undefined);
      expect(await server.ended(id, limitMs)).toMatchObject({ status: 'completed', response: 'all turns are done' });
      await until(
        async () =>
          (await server.events(id)).filter(({ event_type: type }) => type === 'tool_completed').length === turns,
        { limitMs },
      );
    } finally {
      await worker.process.end('SIGTERM');
      await front.stop();
      await model.stop();
    }
  },
  limitMs,
);
