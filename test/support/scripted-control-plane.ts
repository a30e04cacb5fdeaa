// A scripted control plane over real HTTP: answers the routes that the command line uses and streams what a test wrote down.
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One step of an execution's stream; steps run once, whatever the number of connections. */
export type StreamStep =
  | { readonly event: string; readonly data: Record<string, unknown> }
  /** Ends the connection in the middle. */
  | { readonly type: 'cut' }
  /** Ends it properly, as hosting does after five minutes. */
  | { readonly type: 'end' }
  | { readonly type: 'pause'; readonly ms: number }
  /** Waits until the execution is cancelled, marked done, or the test calls `release`. */
  | { readonly type: 'wait'; readonly for: 'cancel' | 'mark-done' | 'release' };

export interface ScriptedReply {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface RecordedRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

export interface ControlPlaneScript {
  readonly token?: string;
  readonly agents?: readonly Record<string, unknown>[];
  readonly queues?: readonly Record<string, unknown>[];
  readonly steps?: readonly StreamStep[];
  /** What GET /executions/{id} says once the stream has sent `done` or nothing is left of the script. */
  readonly final?: Record<string, unknown>;
  /** Frames get ids that Last-Event-ID can name; false behaves like the cloud, which replays everything under new ids. */
  readonly canResume?: boolean;
  /** Asked first; undefined falls through to the built-in routes. A promise holds the answer back. */
  readonly override?: (
    request: RecordedRequest,
    count: number,
  ) => ScriptedReply | 'destroy' | undefined | Promise<undefined>;
}

export interface ScriptedControlPlane {
  readonly url: string;
  readonly token: string;
  readonly requests: readonly RecordedRequest[];
  requestsTo(method: string, path: string | RegExp): readonly RecordedRequest[];
  release(): void;
  stop(): Promise<void>;
}

/** What its /health says. */
export const scriptedInstanceId = 'a-scripted-one';
export const executionId = '11111111-2222-4333-8444-555555555555';
export const defaultAgent = { id: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'default' };
export const defaultQueue = {
  id: 'bbbbbbbb-0000-4000-8000-000000000001',
  environment_id: 'cccccccc-0000-4000-8000-000000000001',
  name: 'default',
  status: 'active',
  task_queue_name: 'bbbbbbbb-0000-4000-8000-000000000001',
  active_workers: 1,
};

/** A worker's event as the server nests it. */
export function workerEvent(event: string, data: Record<string, unknown>): StreamStep {
  return { event, data: { event_type: event, data, timestamp: '2026-11-24T10:00:00.123456' } };
}

export function chunk(content: string, messageId = 'm1'): StreamStep {
  return workerEvent('message_chunk', { role: 'assistant', content, is_chunk: true, message_id: messageId });
}

export function done(status: string): StreamStep {
  return {
    event: 'done',
    data: { execution_id: executionId, status, response: 'ignored: the execution has the last word' },
  };
}

export async function startScriptedControlPlane(script: ControlPlaneScript = {}): Promise<ScriptedControlPlane> {
  const plane = new Plane(script);
  const server = createServer((request, response) => void plane.handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: plane.token,
    requests: plane.requests,
    requestsTo: (method, path) =>
      plane.requests.filter(
        (one) => one.method === method && (typeof path === 'string' ? one.path === path : path.test(one.path)),
      ),
    release: () => plane.signal('release'),
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Frame {
  readonly id: number;
  readonly event: string;
  readonly data: string;
}

class Plane {
  readonly token: string;
  readonly requests: RecordedRequest[] = [];
  readonly #script: ControlPlaneScript;
  readonly #frames: Frame[] = [];
  readonly #steps: StreamStep[];
  readonly #signalled = new Set<string>();
  readonly #waiting = new Map<string, () => void>();
  #isOver = false;

  constructor(script: ControlPlaneScript) {
    this.#script = script;
    this.token = script.token ?? 'test-key';
    this.#steps = [...(script.steps ?? [])];
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const part of request) chunks.push(part as Buffer);
    const text = Buffer.concat(chunks).toString('utf8');
    const recorded: RecordedRequest = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
    this.requests.push(recorded);
    const scripted = await this.#script.override?.(recorded, this.requests.length);
    if (scripted === 'destroy') return void response.destroy();
    if (scripted !== undefined) return send(response, scripted);
    if (recorded.path === '/health')
      return send(response, { status: 200, body: { status: 'healthy', instance_id: scriptedInstanceId } });
    if (request.headers.authorization !== `Bearer ${this.token}`) {
      const detail = { error: 'Unauthorized', message: 'the API key is not valid', hint: 'check the key' };
      return send(response, { status: 401, body: { detail } });
    }
    if (recorded.path === `/api/v1/executions/${executionId}/stream`) return await this.#stream(recorded, response);
    send(response, this.#route(recorded));
  }

  signal(name: string): void {
    this.#signalled.add(name);
    this.#waiting.get(name)?.();
  }

  #route({ method, path }: RecordedRequest): ScriptedReply {
    const route = `${method} ${path.split('?')[0] ?? ''}`;
    if (/^POST \/api\/v1\/agents\/[^/]+\/execute$/.test(route)) {
      return {
        status: 200,
        body: { execution_id: executionId, workflow_id: `agent-execution-${executionId}`, status: 'PENDING' },
      };
    }
    switch (route) {
      case 'GET /api/v1/agents':
        return { status: 200, body: this.#script.agents ?? [defaultAgent] };
      case 'GET /api/v1/worker-queues':
        return { status: 200, body: this.#script.queues ?? [defaultQueue] };
      case 'GET /api/v1/environments':
        return { status: 200, body: [{ id: defaultQueue.environment_id, name: 'default', status: 'ready' }] };
      case `GET /api/v1/executions/${executionId}`:
        return { status: 200, body: this.#execution() };
      case `POST /api/v1/executions/${executionId}/cancel`:
        this.signal('cancel');
        return { status: 200, body: { success: true, execution_id: executionId, message: 'cancelling' } };
      case `POST /api/v1/executions/${executionId}/mark-done`:
        this.signal('mark-done');
        return { status: 202, body: { success: true, execution_id: executionId } };
      default:
        return { status: 404, body: { detail: `Not Found: ${route}` } };
    }
  }

  #execution(): Record<string, unknown> {
    const running = { id: executionId, status: 'RUNNING', prompt: 'p', created_at: '2026-11-24T10:00:00' };
    return this.#isOver
      ? { ...running, status: 'COMPLETED', completed_at: '2026-11-24 10:00:02.5', ...this.#script.final }
      : running;
  }

  async #stream(request: RecordedRequest, response: ServerResponse): Promise<void> {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const canResume = this.#script.canResume ?? true;
    const connection = this.requests.length;
    const after = canResume ? Number(request.headers['last-event-id'] ?? 0) : 0;
    const write = (frame: Frame): void => {
      const id = canResume ? String(frame.id) : `${connection}-${frame.id}`;
      response.write(`: keepalive\n\nid: ${id}\nevent: ${frame.event}\ndata: ${frame.data}\n\n`);
    };
    for (const frame of this.#frames.filter(({ id }) => id > after)) write(frame);
    for (let step = this.#steps.shift(); step !== undefined; step = this.#steps.shift()) {
      if ('event' in step) {
        const frame = { id: this.#frames.length + 1, event: step.event, data: JSON.stringify(step.data) };
        this.#frames.push(frame);
        if (step.event === 'done') this.#isOver = true;
        write(frame);
      } else if (step.type === 'cut') return await flushAndDestroy(response);
      else if (step.type === 'end') return void response.end();
      else if (step.type === 'pause') await new Promise((resolve) => setTimeout(resolve, step.ms));
      else await this.#until(step.for);
    }
    this.#isOver = true;
    response.end();
  }

  async #until(name: string): Promise<void> {
    if (this.#signalled.has(name)) return;
    await new Promise<void>((resolve) => this.#waiting.set(name, resolve));
  }
}

async function flushAndDestroy(response: ServerResponse): Promise<void> {
  await new Promise((resolve) => response.write(': cut\n\n', resolve));
  // What was written has to leave the kernel before the reset does.
  await new Promise((resolve) => setTimeout(resolve, 30));
  response.destroy();
}

function send(response: ServerResponse, reply: ScriptedReply): void {
  response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers });
  response.end(typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body ?? null));
}
