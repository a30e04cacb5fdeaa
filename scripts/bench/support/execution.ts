// Runs executions through the control plane's HTTP API as any client would: start, follow the event stream, until `done`.
import type { Server } from './lab.ts';

export interface Execution {
  readonly id: string;
  readonly status: string;
  readonly wallMs: number;
}

/** `model` is a script of model-server.ts. */
export async function runExecution(server: Server, queueId: string, model: string): Promise<Execution> {
  const startedAt = performance.now();
  const { id, ended } = await startExecution(server, queueId, model);
  const status = await ended;
  if (status !== 'completed') throw new Error(`the execution ${id} ended ${status}`);
  return { id, status, wallMs: performance.now() - startedAt };
}

/** `ended` resolves with the status that `done` names. */
export async function startExecution(server: Server, queueId: string, model: string) {
  const body = { prompt: 'go', model_id: `openai/${model}`, worker_queue_id: queueId, stream: true };
  const { execution_id: id } = (await call(server, 'POST', '/api/v1/agents/default/execute', body)) as {
    execution_id: string;
  };
  return { id, ended: follow(server, id) };
}

export async function queueId(server: Server, name: string): Promise<string> {
  const queues = (await call(server, 'GET', '/api/v1/worker-queues')) as { id: string; name: string }[];
  const id = queues.find((queue) => queue.name === name)?.id;
  if (id === undefined) throw new Error(`there is no queue ${name}`);
  return id;
}

/** Runs `count` in all and `atOnce` at a time; returns what each gave. */
export async function runMany<Result>(
  count: number,
  atOnce: number,
  run: (index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) results.push(await run(next++));
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  return results;
}

async function call(server: Server, method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(server.url + path, {
    method,
    headers: { authorization: `Bearer ${server.token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

async function follow(server: Server, id: string): Promise<string> {
  const response = await fetch(`${server.url}/api/v1/executions/${id}/stream`, {
    headers: { authorization: `Bearer ${server.token}` },
  });
  if (response.body === null) throw new Error('the stream has no body');
  const decoder = new TextDecoder();
  let text = '';
  for await (const bytes of response.body as AsyncIterable<Uint8Array>) {
    text += decoder.decode(bytes, { stream: true });
    const frames = text.split('\n\n');
    text = frames.pop() ?? '';
    const done = frames.find((frame) => /^event: done$/m.test(frame));
    if (done !== undefined) return (JSON.parse(/^data: (.*)$/m.exec(done)?.[1] ?? '{}') as { status: string }).status;
  }
  throw new Error(`the stream of ${id} ended without done`);
}
