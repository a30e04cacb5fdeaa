// Questions to workers and supervisors on this machine, over loopback with the token of their record.
import * as v from 'valibot';
import { directIfLoopback } from '../lib/loopback.ts';
import {
  type ControlAddress,
  type LiveStatus,
  liveStatusSchema,
  type StopRequest,
  type SupervisedBy,
  type SupervisorRecord,
  supervisorRecordSchema,
  type WorkerMessage,
} from '../protocol/instance.ts';

/** What a worker says of itself; undefined when nobody answers there in time, or somebody else does. Never rejects. */
export async function askStatus(control: ControlAddress, timeoutMs: number): Promise<LiveStatus | undefined> {
  return parsed(liveStatusSchema, await call(control, 'GET', '/v1/status', { timeoutMs }));
}

/** The same of a supervisor. */
export async function askSupervisor(control: ControlAddress, timeoutMs: number): Promise<SupervisorRecord | undefined> {
  return parsed(supervisorRecordSchema, await call(control, 'GET', '/v1/status', { timeoutMs }));
}

/** To a worker or a supervisor; false when it was not accepted in time. Never rejects. */
export async function askToStop(control: ControlAddress, body: StopRequest, timeoutMs: number): Promise<boolean> {
  return (await call(control, 'POST', '/v1/stop', { timeoutMs, body })) !== undefined;
}

/** To a supervisor. Undefined when it has begun, else why not. Never rejects. */
export async function askToRestart(
  control: ControlAddress,
  body: StopRequest,
  timeoutMs: number,
): Promise<string | undefined> {
  // A frozen supervisor reads this when it goes on, perhaps hours after we have said that nothing was done.
  const dated: StopRequest = { ...body, expires_at_ms: Date.now() + timeoutMs };
  const answer = await send(control, 'POST', '/v1/restart', { timeoutMs, body: dated });
  if (answer === undefined) return 'the supervisor does not answer';
  return answer.isOk ? undefined : answer.text;
}

/** To a worker that has lost its supervisor: who looks after it now. */
export async function tellSupervisor(control: ControlAddress, body: SupervisedBy, timeoutMs: number): Promise<boolean> {
  return (await call(control, 'POST', '/v1/supervisor', { timeoutMs, body })) !== undefined;
}

/** From a worker to its supervisor. False when it was not taken in time. Never rejects. */
export async function tellOfWorker(control: ControlAddress, body: WorkerMessage, timeoutMs: number): Promise<boolean> {
  return (await call(control, 'POST', '/v1/worker', { timeoutMs, body })) !== undefined;
}

/** True when whoever listens there says that it lives. */
export async function isLive(control: ControlAddress, timeoutMs: number): Promise<boolean> {
  return (await call(control, 'GET', '/livez', { timeoutMs })) !== undefined;
}

interface CallOptions {
  readonly timeoutMs: number;
  readonly body?: unknown;
}

type Method = 'GET' | 'POST';

/** The text of a successful answer. */
async function call(
  control: ControlAddress,
  method: Method,
  path: string,
  options: CallOptions,
): Promise<string | undefined> {
  const answer = await send(control, method, path, options);
  return answer?.isOk === true ? answer.text : undefined;
}

async function send(
  { port, token }: ControlAddress,
  method: Method,
  path: string,
  { timeoutMs, body }: CallOptions,
): Promise<{ readonly isOk: boolean; readonly text: string } | undefined> {
  const url = `http://127.0.0.1:${port}${path}`;
  try {
    const response = await fetch(url, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      signal: AbortSignal.timeout(timeoutMs),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...directIfLoopback(url),
    });
    const text = await response.text();
    return { isOk: response.ok, text };
  } catch {
    // Nobody listens, or it is frozen: no answer either way.
    return undefined;
  }
}

function parsed<Output>(schema: v.GenericSchema<unknown, Output>, text: string | undefined): Output | undefined {
  if (text === undefined) return undefined;
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), text);
  return result.success ? result.output : undefined;
}
