// The supervisor's door, by real HTTP: who may enter, and what nonsense does.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import type { ControlAddress, StopRequest, SupervisorRecord, WorkerMessage } from '../../../src/protocol/instance.ts';
import { askSupervisor, askToRestart, askToStop, isLive, tellOfWorker } from '../../../src/supervisor/ask.ts';
import { startControl, type SupervisorControl } from '../../../src/supervisor/control.ts';

const record: SupervisorRecord = {
  instance_id: 'i',
  pid: 1,
  start_time: 's',
  pid_namespace: '',
  version: '1.0.0',
  queue: 'q',
  queue_id: '',
  directory: '/',
  log_file: '/log',
  control: { port: 1, token: 't' },
  state: 'running',
  state_since: '2026-11-24T10:00:00.000Z',
  reason: null,
  exit_code: null,
  restarts: 0,
  next_start_at: null,
  worker_pid: null,
  worker_control: null,
  started_at: '2026-11-24T10:00:00.000Z',
  stopped_at: null,
};
const stop: StopRequest = { rung: 'drain', reason: 'a test' };
const draining: WorkerMessage = { type: 'draining', pid: 7, reason: 'a test' };

let control: SupervisorControl;
let seen: unknown[];
let isOurs: boolean;
let problem: string | undefined;
beforeEach(() => {
  seen = [];
  isOurs = true;
  problem = undefined;
  control = startControl({
    status: () => record,
    onWorker: (message) => {
      seen.push(message);
      return isOurs;
    },
    onStop: (request) => void seen.push(request),
    onRestart: () => Promise.resolve(problem),
  });
});
afterEach(() => control.stop());

const send = (method: string, path: string, body?: string, token = control.address.token): Promise<number> =>
  fetch(`http://127.0.0.1:${control.address.port}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { body }),
  }).then(({ status }) => status);

test('answers, takes messages and stops, and says why it does not restart', async () => {
  const { address } = control;
  expect(await askSupervisor(address, 1_000)).toEqual(record);
  expect(await tellOfWorker(address, draining, 1_000)).toBe(true);
  expect(await askToStop(address, stop, 1_000)).toBe(true);
  expect(seen).toEqual([draining, stop]);
  isOurs = false;
  expect(await tellOfWorker(address, draining, 1_000)).toBe(false);
  expect(await askToRestart(address, stop, 1_000)).toBeUndefined();
  problem = 'the program is gone';
  expect(await askToRestart(address, stop, 1_000)).toBe('the program is gone');
});

test('a stranger learns and changes nothing', async () => {
  const stranger: ControlAddress = { ...control.address, token: 'guess' };
  expect(await askSupervisor(stranger, 1_000)).toBeUndefined();
  expect(await askToStop(stranger, stop, 1_000)).toBe(false);
  expect(await isLive(stranger, 1_000)).toBe(false);
  for (const token of ['', 'x'.repeat(10_000), `${control.address.token} `.repeat(2)])
    expect(await send('GET', '/v1/status', undefined, token)).toBe(401);
  expect(seen).toEqual([]);
});

test('nonsense is refused and goes no further', async () => {
  for (const body of ['', '{', '[]', '{"rung":"up","reason":""}', '{"rung":"drain"}'])
    expect(await send('POST', '/v1/stop', body)).toBe(400);
  for (const body of ['', 'null', '{"type":"ready"}', '{"type":"draining","pid":-1,"reason":""}'])
    expect(await send('POST', '/v1/worker', body)).toBe(400);
  expect(await send('POST', '/v1/restart', '{}')).toBe(400);
  expect(await send('POST', '/v1/status')).toBe(404);
  expect(await send('POST', '/v1/stop', `{"rung":"drain","reason":"${'x'.repeat(100_000)}"}`)).toBeGreaterThanOrEqual(
    400,
  );
  expect(seen).toEqual([]);
});

test('nobody there is an answer too', async () => {
  const { address } = control;
  await control.stop();
  expect(await askSupervisor(address, 500)).toBeUndefined();
  expect(await askToRestart(address, stop, 500)).toBe('the supervisor does not answer');
});
