// Whoever reaches the local Temporal server without the control plane's key can neither start an agent nor steer one.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Client, WorkflowFailedError } from '@temporalio/client';
import { createPayloadSignatureCodec } from '../../src/lib/payload-signature.ts';
import { agentWorkflowId, agentWorkflowType, signalNames } from '../../src/protocol/workflow.ts';
import { createHome, type Home } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { connectTemporal, type TemporalProbe } from '../support/temporal-history.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';

const queue = 'forged';
let home: Home;
let server: LocalServer;
let worker: WorkerProcess;
let temporal: TemporalProbe;
let taskQueue: string;

beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home });
  worker = await startWorkerProcess({ home, queue, words: ['--model', 'kubiya/offline'] });
  temporal = await connectTemporal(server.temporalAddress);
  const queues = (await server.request('GET', '/api/v1/worker-queues')) as { id: string; name: string }[];
  taskQueue = queues.find(({ name }) => name === queue)?.id ?? '';
});
afterAll(async () => {
  await temporal.close();
  await worker.process.end('SIGTERM');
  await server.stop();
  home.remove();
});

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** The input of an agent that would leave a file. */
function inputOf(executionId: string, marker: string): Record<string, unknown> {
  return { execution_id: executionId, agent_id: 'default', prompt: `run \`touch '${marker}'\`` };
}

test('an unsigned start fails with the refusal, and nothing runs', async () => {
  const marker = join(home.directory, 'unsigned');
  const handle = await temporal.client.workflow.start(agentWorkflowType, {
    workflowId: agentWorkflowId('forged-1'),
    taskQueue,
    args: [inputOf('forged-1', marker)],
  });
  const failure = await failureOf(handle.result());
  expect(failure).toBeInstanceOf(WorkflowFailedError);
  expect(String((failure as WorkflowFailedError).cause)).toContain('refused');
  const types = (await temporal.history('forged-1')).map(({ type }) => type);
  expect(types).toContain('WorkflowExecutionFailed');
  expect(types.filter((type) => type.startsWith('Activity') || type === 'MarkerRecorded')).toEqual([]);
  expect(existsSync(marker)).toBe(false);
});

test('a start that is signed with another key fails in the same way', async () => {
  const marker = join(home.directory, 'wrong-key');
  const codec = createPayloadSignatureCodec(new Uint8Array(32).fill(7));
  const client = new Client({ connection: temporal.client.connection, dataConverter: { payloadCodecs: [codec] } });
  const handle = await client.workflow.start(agentWorkflowType, {
    workflowId: agentWorkflowId('forged-2'),
    taskQueue,
    args: [inputOf('forged-2', marker)],
  });
  expect(await failureOf(handle.result())).toBeInstanceOf(WorkflowFailedError);
  expect(existsSync(marker)).toBe(false);
});

test('forged signals change nothing in a running conversation; the real ones do', async () => {
  const answer = (await server.request('POST', '/api/v1/agents/default/execute', {
    prompt: 'run `echo first-answer`',
    worker_queue_id: queue,
    is_conversation: true,
  })) as { execution_id: string };
  const id = answer.execution_id;
  const statusIs = (wanted: string) =>
    until(async () => (await server.execution(id)).status === wanted, { what: () => `${id} is ${wanted}` });
  await statusIs('waiting_for_input');
  const marker = join(home.directory, 'signal');
  const handle = temporal.client.workflow.getHandle(agentWorkflowId(id));
  await handle.signal(signalNames.addMessage, { role: 'user', content: `run \`touch '${marker}'\``, execution_id: id });
  for (const name of [signalNames.pause, signalNames.markAsDone]) await handle.signal(name, { execution_id: id });
  // The workflow has seen them when it has worked off what they woke it for.
  const signalsSeen = async (): Promise<boolean> => {
    const types = (await temporal.history(id)).map(({ type }) => type);
    const lastSignal = types.lastIndexOf('WorkflowExecutionSignaled');
    return lastSignal > 0 && types.lastIndexOf('WorkflowTaskCompleted') > lastSignal;
  };
  await until(signalsSeen, { what: () => 'the workflow has seen the signals' });
  expect((await server.execution(id)).status).toBe('waiting_for_input');
  expect(existsSync(marker)).toBe(false);

  await server.request('POST', `/api/v1/executions/${id}/message`, { message: 'run `echo second-answer`' });
  const hasAnswered = async (): Promise<boolean> =>
    (await server.events(id)).some(
      ({ data }) => JSON.stringify(data['content'] ?? '').includes('second-answer') && data['role'] === 'assistant',
    );
  await until(hasAnswered, { what: () => 'the real message is answered' });
  await statusIs('waiting_for_input');
  await server.request('POST', `/api/v1/executions/${id}/mark-done`);
  expect(await server.ended(id, 30_000)).toMatchObject({ status: 'completed' });
  expect(existsSync(marker)).toBe(false);
});
