// Measures what a control plane that hangs for 2 minutes costs a turn: `bun test/worker/hang-long.ts`; exit 1 above 1.1 at p95. Wants a quiet machine.
import { createHome } from '../support/binary.ts';
import { startLocalServer } from '../support/local-server.ts';
import { startScriptedOpenAi } from '../support/model-servers.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import { createTurns, percentile, runHangs } from './hang-run.ts';

/** With 200 turns, of the 250 that an execution may have, one execution hangs for 2 minutes. */
const answerDelayMs = 600;
const turns = 205;
const ratioMax = 1.1;

const home = createHome();
const model = createTurns(answerDelayMs);
const provider = await startScriptedOpenAi(() => model.script());
const server = await startLocalServer({ home });
const environment = { OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: 'sk-scripted', KUBIYA_MODEL: 'openai/scripted' };
const worker = await startWorkerProcess({ home, queue: 'hang', environment });
try {
  const queues = (await server.request('GET', '/api/v1/worker-queues')) as { id: string; name: string }[];
  const queueId = queues.find(({ name }) => name === 'hang')?.id ?? '';
  const run = await runHangs({ server, model, queueId, turns, rounds: 1 });
  const [hanging, control] = [percentile(run.hanging, 0.95), percentile(run.control, 0.95)];
  console.log(`the control plane hung for ${Math.round(run.hungMs / 1000)} s`);
  console.log(
    `p50 of a turn without the model: ${percentile(run.hanging, 0.5).toFixed(1)} ms, control ${percentile(run.control, 0.5).toFixed(1)} ms`,
  );
  console.log(
    `p95: ${hanging.toFixed(1)} ms, control ${control.toFixed(1)} ms, ratio ${(hanging / control).toFixed(2)}`,
  );
  const delivered = run.executions.map(({ view, events }) => `${view.status}, ${events.length} events`);
  console.log(delivered.join('; '));
  const isWhole =
    new Set(delivered.map((text) => text.split(',')[0])).size === 1 && delivered[0]?.startsWith('completed');
  process.exitCode = hanging <= control * ratioMax && isWhole === true ? 0 : 1;
} finally {
  await worker.process.end('SIGTERM');
  await server.stop();
  await provider.stop();
  home.remove();
}
