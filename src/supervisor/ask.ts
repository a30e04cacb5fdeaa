// Questions to workers and supervisors on this machine, over loopback with the token of their record.
import * as v from 'valibot';
import { directIfLoopback } from '../lib/loopback.ts';
import {
  type ControlAddress,
  type LiveStatus,
  liveStatusSchema,
  type StopRequest,
  type SupervisorRecord,
  supervisorRecordSchema,
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

/** To a supervisor; its answer comes when it has begun. */
export async function askToRestart(control: ControlAddress, body: StopRequest, timeoutMs: number): Promise<boolean> {
  return (await call(control, 'POST', '/v1/restart', { timeoutMs, body })) !== undefined;
}

/** True when whoever listens there says that it lives. */
export async function isLive(control: ControlAddress, timeoutMs: number): Promise<boolean> {
  return (await call(control, 'GET', '/livez', { timeoutMs })) !== undefined;
}

interface CallOptions {
  readonly timeoutMs: number;
  readonly body?: unknown;
}

/** The text of a successful answer. */
async function call(
  { port, token }: ControlAddress,
  method: 'GET' | 'POST',
  path: string,
  { timeoutMs, body }: CallOptions,
): Promise<string | undefined> {
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
    return response.ok ? text : undefined;
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
