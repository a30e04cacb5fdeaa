// Records the histories that replay.test.ts replays: `bun test/replay/record.ts`, once for each version of a workflow, never over an old file.
import { agentWorkflowId } from '../../src/protocol/workflow.ts';
import { createHome } from '../support/binary.ts';
import { startLocalServer, type LocalServer } from '../support/local-server.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import { createRecordingHome, saveHistory } from './recorder.ts';

const version = process.argv[2] ?? 'v1';
const queue = 'recorded';
const home = createRecordingHome();
const server = await startLocalServer({ home });
const worker = await startWorkerProcess({ home, queue, words: ['--model', 'kubiya/offline'] });
try {
  record('completed', await finished(server, 'run `echo one`, `echo two`'));
  record('failed', await finished(server, 'run `false`'));
  record('cancelled', await cancelled(server));
  record('waiting', await waiting(server));
  record('paused', await paused(server));
  record('moved', await moved(server)); // the last one: it kills the worker
} finally {
  if (!worker.process.hasExited) await worker.process.end('SIGTERM');
  await server.stop();
  home.remove();
}

async function finished(one: LocalServer, prompt: string): Promise<string> {
  const id = await one.execute(prompt, queue);
  await one.ended(id, 30_000);
  return id;
}

async function cancelled(one: LocalServer): Promise<string> {
  const id = await one.execute('run `sleep 30`', queue);
  await toolStarted(one, id);
  await one.request('POST', `/api/v1/executions/${id}/cancel`);
  await one.ended(id, 30_000);
  return id;
}

/** Unfinished: a conversation that has taken a second message and waits for the next. */
async function waiting(one: LocalServer): Promise<string> {
  const id = await converse(one);
  await answered(one, id);
  return id;
}

/** Unfinished: the worker that held it was killed between two calls, and another one has gone on with it. */
async function moved(one: LocalServer): Promise<string> {
  const id = await converse(one);
  await worker.process.end('SIGKILL');
  const elsewhere = createHome();
  const next = await startWorkerProcess({
    home: elsewhere,
    queue,
    words: ['--model', 'kubiya/offline'],
    environment: { CONTROL_PLANE_URL: one.url, KUBIYA_API_KEY: one.token },
  });
  try {
    await answered(one, id);
  } finally {
    await next.process.end('SIGTERM');
    elsewhere.remove();
  }
  return id;
}

async function converse(one: LocalServer): Promise<string> {
  const body = { prompt: 'run `echo hi`', worker_queue_id: queue, is_conversation: true };
  const { execution_id: id } = (await one.request('POST', '/api/v1/agents/default/execute', body)) as {
    execution_id: string;
  };
  await status(one, id, 'waiting_for_input');
  return id;
}

/** Sends the second message and waits for its answer. */
async function answered(one: LocalServer, id: string): Promise<void> {
  await one.request('POST', `/api/v1/executions/${id}/message`, { message: 'run `echo more`' });
  // Not by the second time that it waits: a worker that is killed may have told the first before Temporal knew of it.
  const answers = async (): Promise<number> =>
    (await one.events(id)).filter(({ event_type, data }) => event_type === 'message' && data['role'] === 'assistant')
      .length;
  await until(async () => (await answers()) > 1, { limitMs: 30_000, what: () => 'the second answer' });
  await status(one, id, 'waiting_for_input');
}

/** Unfinished: held between two tools. */
async function paused(one: LocalServer): Promise<string> {
  const id = await one.execute('run `sleep 1`, `echo later`', queue);
  await toolStarted(one, id);
  await one.request('POST', `/api/v1/executions/${id}/pause`);
  await status(one, id, 'paused');
  return id;
}

async function toolStarted(one: LocalServer, id: string): Promise<void> {
  const hasStarted = async (): Promise<boolean> =>
    (await one.events(id)).some(({ event_type }) => event_type === 'tool_started');
  await until(hasStarted, { limitMs: 30_000, what: () => 'a tool that has started' });
}

async function status(one: LocalServer, id: string, wanted: string): Promise<void> {
  await until(async () => (await one.execution(id)).status === wanted, {
    limitMs: 30_000,
    what: () => `status ${wanted}`,
  });
}

function record(name: string, id: string): void {
  saveHistory(home, server, `${version}-${name}`, agentWorkflowId(id));
}
