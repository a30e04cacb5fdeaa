// The supervisor's door: loopback only, a bearer token, four requests.
import { randomBytes, timingSafeEqual } from 'node:crypto';
import * as v from 'valibot';
import {
  type ControlAddress,
  type StopRequest,
  stopRequestSchema,
  type SupervisorRecord,
  type WorkerMessage,
  workerMessageSchema,
} from '../protocol/instance.ts';

export interface ControlHandlers {
  status(): SupervisorRecord;
  /** False when it is not from the worker of now. */
  onWorker(message: WorkerMessage): boolean;
  onStop(request: StopRequest): void;
  /** One sentence when it cannot be done now. Must not reject. */
  onRestart(request: StopRequest): Promise<string | undefined>;
}

export interface SupervisorControl {
  readonly address: ControlAddress;
  stop(): Promise<void>;
}

const tokenBytes = 24;
/** A message of a worker is a few hundred bytes. */
const bodyBytesMax = 64 * 1024;

export function startControl(handlers: ControlHandlers): SupervisorControl {
  const token = randomBytes(tokenBytes).toString('base64url');
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    maxRequestBodySize: bodyBytesMax,
    fetch: (request) => answer(request, token, handlers),
    error: () => new Response('the supervisor has failed to answer', { status: 500 }),
  });
  if (server.port === undefined) throw new Error('a TCP server without a port');
  // A worker's last words may still be on their way: what has been accepted is answered.
  return { address: { port: server.port, token }, stop: () => server.stop(false) };
}

async function answer(request: Request, token: string, handlers: ControlHandlers): Promise<Response> {
  if (!isAllowed(request, token)) return new Response('', { status: 401 });
  switch (`${request.method} ${new URL(request.url).pathname}`) {
    case 'GET /v1/status':
      return Response.json(handlers.status());
    case 'POST /v1/worker': {
      const message = await bodyOf(request, workerMessageSchema);
      if (message === undefined) return refusal('expected a message of a worker', 400);
      return handlers.onWorker(message) ? Response.json({ accepted: true }) : refusal('another worker runs', 409);
    }
    case 'POST /v1/stop': {
      const stop = await bodyOf(request, stopRequestSchema);
      if (stop === undefined) return refusal('expected a stop request', 400);
      handlers.onStop(stop);
      return Response.json({ accepted: true }, { status: 202 });
    }
    case 'POST /v1/restart': {
      const stop = await bodyOf(request, stopRequestSchema);
      if (stop === undefined) return refusal('expected a stop request', 400);
      const problem = await handlers.onRestart(stop);
      return problem === undefined ? Response.json({ accepted: true }, { status: 202 }) : refusal(problem, 409);
    }
    default:
      return refusal('no such thing', 404);
  }
}

function isAllowed(request: Request, token: string): boolean {
  const given = Buffer.from((request.headers.get('authorization') ?? '').replace(/^Bearer /, ''));
  const expected = Buffer.from(token);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

async function bodyOf<Output>(request: Request, schema: v.GenericSchema<unknown, Output>): Promise<Output | undefined> {
  const parsed = v.safeParse(schema, await request.json().catch(() => undefined));
  return parsed.success ? parsed.output : undefined;
}

const refusal = (sentence: string, status: number): Response => new Response(sentence, { status });
