// A message that meets the end of an execution is answered or refused: never accepted and lost.
import { expect, test } from 'bun:test';
import { until } from '../support/until.ts';
import { queueName, startLab } from './lab.ts';
import { startScenarios } from './scenarios.ts';

const rounds = 4;

test('whichever comes first, 202 has an answer and 409 leaves the execution as it ended', async () => {
  const models = await startScenarios('openai');
  const lab = await startLab({ OPENAI_BASE_URL: models.url, OPENAI_API_KEY: 'sk-scripted' });
  try {
    const seen: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const scenario = models.add([
        { type: 'text', text: 'first answer' },
        { type: 'text', text: 'second answer' },
      ]);
      const request = { prompt: scenario.tag, worker_queue_id: queueName, model_id: 'openai/x' };
      const answer = await lab.server.request('POST', '/api/v1/agents/default/execute', request);
      const id = (answer as { execution_id: string }).execution_id;
      await until(() => scenario.requests.length > 0, { intervalMs: 1, what: () => 'the model is asked' });
      // The server stands still while the agent ends: report and message meet in front of it.
      lab.server.process.signal('SIGSTOP');
      const message = async (): Promise<number> => {
        await Bun.sleep(round % 2 === 0 ? 0 : 300); // in odd rounds the report is there before it
        const { status } = await fetch(`${lab.server.url}/api/v1/executions/${id}/message`, {
          method: 'POST',
          headers: { authorization: `Bearer ${lab.server.token}`, 'content-type': 'application/json' },
          body: JSON.stringify({ message: 'one more thing' }),
        });
        return status;
      };
      const sent = message();
      await Bun.sleep(600);
      lab.server.process.signal('SIGCONT');
      const status = await sent;
      seen.push(status);
      const end = await lab.server.ended(id, 30_000);
      expect([status, end.status, end.response]).toEqual(
        status === 202 ? [202, 'completed', 'second answer'] : [409, 'completed', 'first answer'],
      );
      const types = (await lab.server.events(id)).map(({ event_type }) => event_type);
      expect(types.filter((type) => type === 'done')).toHaveLength(1);
      expect(types.at(-1)).toBe('done');
    }
    expect(seen).toContain(202);
  } finally {
    await lab.stop();
    await models.stop();
  }
}, 90_000);
