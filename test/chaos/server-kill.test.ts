// A kill -9 of the control plane's process, with its Temporal server: started again, it finds its worker and its executions as they were.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createServer, type Server } from 'node:net';
import { createHome, type Home } from '../support/binary.ts';
import { startLocalServer } from '../support/local-server.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import { until } from '../support/until.ts';
import { startStepAgent } from './step-agent.ts';

const steps = 6;
const resumedWithinMs = 15_000;
let home: Home;
let usual: Server;

beforeAll(async () => {
  home = createHome();
  // Taken by us or by somebody else: so that the first start gets another port, which the second has to remember.
  usual = createServer();
  await new Promise<void>((resolve) => {
    usual.once('error', () => resolve()).listen(7233, '127.0.0.1', resolve);
  });
});
afterAll(() => {
  usual.close();
  home.remove();
});

test('the worker goes on with what it had, each call once', async () => {
  const agent = await startStepAgent(home.directory, { steps, pauses: { before: 0.5, after: 0.5 } });
  const first = await startLocalServer({ home });
  const { process: worker } = await startWorkerProcess({
    home,
    queue: 'server-kill',
    words: ['--model', agent.modelName],
    environment: agent.environment,
  });
  const id = await first.execute(agent.promptOf('e1'), 'server-kill');
  await until(() => agent.ledger().length >= 2, { what: () => 'two calls took effect' });
  await first.process.end('SIGKILL');
  const isGone = (): boolean => !home.processes().some((line) => line.includes('start-dev'));
  await until(isGone, { limitMs: 2_000, what: () => 'the guardian has ended the Temporal server' });

  const second = await startLocalServer({ home, port: Number(new URL(first.url).port) });
  expect(second.temporalAddress).toBe(first.temporalAddress);
  const seen = agent.ledger().length;
  if (seen < steps) {
    await until(() => agent.ledger().length > seen, {
      limitMs: resumedWithinMs,
      what: () => 'the worker makes another call',
    });
  }
  expect(await second.ended(id, 60_000)).toMatchObject({ status: 'completed' });
  const numbers = Array.from({ length: steps }, (_, index) => index + 1);
  expect(agent.ledger()).toEqual(numbers.map((step) => `e1:${step}`));
  expect(agent.results.get('e1')).toEqual(numbers.map((step) => `did e1:${step}\n[exit code 0]`));
  await worker.end('SIGTERM');
  await second.stop();
  await agent.model.stop();
  await home.waitUntilEmpty(5_000);
});
