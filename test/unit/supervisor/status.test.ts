// What is true of a worker, from real records, answers over loopback and processes. One file because every case stands on the same ones.
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processStartTime } from '../../../src/lib/process-tree.ts';
import type {
  ControlAddress,
  InstanceRecord,
  LiveStatus,
  SupervisorRecord,
  WorkerStatus,
} from '../../../src/protocol/instance.ts';
import { ownIdentity, writeInstance } from '../../../src/supervisor/instance.ts';
import { readPlace } from '../../../src/supervisor/select.ts';
import { readWorkerStatus } from '../../../src/supervisor/status.ts';
import { writeSupervisor } from '../../../src/supervisor/supervisor-record.ts';

const root = mkdtempSync(join(tmpdir(), 'status-'));
const undo: (() => unknown)[] = [];
let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(root, 'queue-'));
  mkdirSync(join(directory, 'logs'));
});
afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});
afterAll(() => rmSync(root, { recursive: true }));

type Identity = Pick<InstanceRecord, 'pid' | 'start_time' | 'pid_namespace'>;
const identityOf = (pid: number): Identity => ({ ...ownIdentity(), pid, start_time: processStartTime(pid) ?? '' });

/** A process that lives until the end of the test. */
function living(): Identity {
  const child = spawn('sleep', ['300'], { stdio: 'ignore' });
  undo.push(() => child.kill('SIGKILL'));
  return identityOf(child.pid ?? 0);
}

async function dead(): Promise<Identity> {
  const child: ChildProcess = spawn('sleep', ['300'], { stdio: 'ignore' });
  const identity = identityOf(child.pid ?? 0);
  child.kill('SIGKILL');
  await once(child, 'exit');
  return identity;
}

/** Answers like a worker or a supervisor; `frozen` takes the connection and says nothing. */
function answering(answer: () => object | 'frozen'): ControlAddress {
  const token = 'the-token';
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 30,
    fetch: (request) => {
      if (request.headers.get('authorization') !== `Bearer ${token}`) return new Response('', { status: 401 });
      const given = answer();
      return given === 'frozen' ? new Promise<Response>(() => undefined) : Response.json(given);
    },
  });
  undo.push(() => server.stop(true));
  return { port: server.port ?? 0, token };
}

/** Nobody listens there any more. */
function refusing(): ControlAddress {
  const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response('') });
  const { port = 0 } = server;
  void server.stop(true);
  return { port, token: 'the-token' };
}

function liveOf(pid: number, changes: Partial<LiveStatus> = {}): LiveStatus {
  return {
    instance_id: 'i-1',
    pid,
    version: '2.0.0',
    state: 'running',
    state_since: '2026-11-24T10:00:05.000Z',
    queue: 'my-queue',
    queue_id: 'q-1',
    worker_id: 'w-live',
    control_plane: null,
    temporal: null,
    heartbeat_age_ms: 10,
    poll_age_ms: 20,
    slots: { used: 1, max: 10 },
    executions: ['e-1'],
    rss_bytes: 1000,
    warnings: ['mind this'],
    not_ready_reason: null,
    ...changes,
  };
}

function writeWorker(identity: Identity, changes: Partial<InstanceRecord> = {}): void {
  writeInstance(directory, {
    instance_id: 'i-1',
    ...identity,
    version: '1.2.3',
    mode: 'foreground',
    queue: 'my-queue',
    queue_id: 'q-1',
    worker_id: 'w-1',
    directory,
    log_file: join(directory, 'logs/worker.log'),
    control_plane_url: 'http://127.0.0.1:8080',
    web_url: 'http://127.0.0.1:8088',
    ports: { web: 8088, metrics: 9090 },
    started_at: '2026-11-24T10:00:00.000Z',
    stopped_at: null,
    stop_reason: null,
    ...changes,
  });
}

function supervisorOf(
  identity: Identity,
  control: ControlAddress,
  changes: Partial<SupervisorRecord> = {},
): SupervisorRecord {
  return {
    instance_id: 's-1',
    ...identity,
    version: '1.2.3',
    queue: 'my-queue',
    queue_id: 'q-1',
    directory,
    log_file: join(directory, 'logs/worker.log'),
    control,
    state: 'running',
    state_since: '2026-11-24T09:00:10.000Z',
    reason: null,
    exit_code: null,
    restarts: 3,
    next_start_at: null,
    worker_pid: null,
    worker_control: null,
    started_at: '2026-11-24T09:00:00.000Z',
    stopped_at: null,
    ...changes,
  };
}

async function status(): Promise<WorkerStatus> {
  const place = readPlace(directory);
  if (place === undefined) throw new Error('there is no record');
  return await readWorkerStatus(place);
}

describe('in the foreground', () => {
  test('running, answering and ready is healthy', async () => {
    const self = living();
    writeWorker(self, { control: answering(() => liveOf(self.pid)) });
    expect(await status()).toEqual({
      queue: 'my-queue',
      type: 'local',
      state: 'running',
      healthy: true,
      mode: 'foreground',
      pid: self.pid,
      worker_pid: self.pid,
      worker_id: 'w-live',
      queue_id: 'q-1',
      started_at: '2026-11-24T10:00:00.000Z',
      state_since: '2026-11-24T10:00:05.000Z',
      restarts: 0,
      next_start_at: null,
      heartbeat_age_ms: 10,
      poll_age_ms: 20,
      slots: { used: 1, max: 10 },
      executions: ['e-1'],
      control_plane: null,
      temporal: null,
      webui_url: 'http://127.0.0.1:8088',
      metrics_port: 9090,
      log_file: join(directory, 'logs/worker.log'),
      log_bytes: 0,
      rss_bytes: 1000,
      directory,
      version: '2.0.0',
      warnings: ['mind this'],
      reason: null,
    });
  });

  test('running and not ready says why', async () => {
    const self = living();
    writeWorker(self, { control: answering(() => liveOf(self.pid, { not_ready_reason: 'no heartbeat' })) });
    expect(await status()).toMatchObject({ state: 'running', healthy: false, reason: 'no heartbeat' });
  });

  test.each(['starting', 'draining'] as const)('%s is not healthy', async (state) => {
    const self = living();
    writeWorker(self, { control: answering(() => liveOf(self.pid, { state, not_ready_reason: `it is ${state}` })) });
    expect(await status()).toMatchObject({ state, healthy: false, reason: null });
  });

  test('frozen: alive without an answer is never healthy, and it takes about a second', async () => {
    const self = living();
    writeWorker(self, { control: answering(() => 'frozen') });
    const startMs = performance.now();
    expect(await status()).toMatchObject({
      state: 'running',
      healthy: false,
      worker_pid: self.pid,
      heartbeat_age_ms: null,
      webui_url: null,
      reason: 'it has not answered for 1 s',
    });
    expect(performance.now() - startMs).toBeLessThan(1_900);
  });

  test.each<[string, () => ControlAddress]>([
    ['a stranger on its port', () => ({ ...answering(() => ({ hello: 'world' })), token: 'the-token' })],
    ['a port with another token', () => ({ ...answering(() => liveOf(1)), token: 'another' })],
    ['nobody on its port', refusing],
  ])('alive with %s is not healthy', async (_name, control) => {
    writeWorker(living(), { control: control() });
    expect(await status()).toMatchObject({ state: 'running', healthy: false, reason: 'it does not answer' });
  });

  test('killed: its record says that it runs, its process is gone', async () => {
    writeWorker(await dead(), { control: refusing() });
    expect(await status()).toMatchObject({
      state: 'stopped',
      healthy: false,
      pid: null,
      worker_pid: null,
      state_since: null,
      reason: 'vanished',
      hint: expect.stringMatching(/^start it again with `kubiya worker start --queue-id .+ -d`$/),
    });
  });

  test('a stranger with its pid is not it', async () => {
    const stranger = living();
    writeWorker({ ...stranger, start_time: 'earlier' }, { control: refusing() });
    expect(await status()).toMatchObject({ state: 'stopped', pid: null, reason: 'vanished' });
  });

  test('stopped in order', async () => {
    writeWorker(living(), { stopped_at: '2026-11-24T11:00:00.000Z', stop_reason: 'stopped by SIGTERM' });
    expect(await status()).toMatchObject({
      state: 'stopped',
      state_since: '2026-11-24T11:00:00.000Z',
      reason: 'stopped by SIGTERM',
    });
  });

  test('of another container it is not claimed that it runs well, nor that it is gone', async () => {
    writeWorker({ ...living(), pid_namespace: 'pid:[1]' }, { control: refusing() });
    expect(await status()).toMatchObject({
      state: 'running',
      healthy: false,
      reason: 'it runs in another container, where it cannot be seen from here',
    });
    const self = living();
    writeWorker({ ...self, pid_namespace: 'pid:[1]' }, { control: answering(() => liveOf(self.pid)) });
    expect(await status()).toMatchObject({ state: 'running', healthy: true });
  });
});

describe('supervised', () => {
  test('the answers of both', async () => {
    const [boss, self] = [living(), living()];
    const worker = answering(() => liveOf(self.pid));
    const record = (control: ControlAddress): SupervisorRecord =>
      supervisorOf(boss, control, { worker_pid: self.pid, worker_control: worker });
    const control: ControlAddress = answering(() => record(control));
    writeSupervisor(directory, record(control));
    writeWorker(self, { mode: 'daemon', control: worker });
    expect(await status()).toMatchObject({
      state: 'running',
      healthy: true,
      mode: 'daemon',
      pid: boss.pid,
      worker_pid: self.pid,
      restarts: 3,
      started_at: '2026-11-24T09:00:00.000Z',
      webui_url: 'http://127.0.0.1:8088',
      warnings: ['mind this'],
    });
  });

  test('backing off after a crash: nothing runs, and when it will', async () => {
    const boss = living();
    const control: ControlAddress = answering(() =>
      supervisorOf(boss, control, {
        state: 'backing-off',
        reason: 'the worker was ended by SIGSEGV',
        next_start_at: '2026-11-24T10:00:09.000Z',
      }),
    );
    writeSupervisor(directory, supervisorOf(boss, control));
    writeWorker(await dead(), { mode: 'daemon', control: refusing() });
    expect(await status()).toMatchObject({
      state: 'backing-off',
      healthy: false,
      pid: boss.pid,
      worker_pid: null,
      worker_id: 'w-1',
      reason: 'the worker was ended by SIGSEGV',
      next_start_at: '2026-11-24T10:00:09.000Z',
    });
  });

  test('crash-looping stays what it is called while the next try starts, with the last lines of the log', async () => {
    const [boss, self] = [living(), living()];
    const worker = answering(() => liveOf(self.pid, { state: 'starting', not_ready_reason: 'it is starting' }));
    const control: ControlAddress = answering(() =>
      supervisorOf(boss, control, {
        state: 'crash-looping',
        reason: 'it fell',
        worker_pid: self.pid,
        worker_control: worker,
      }),
    );
    writeSupervisor(directory, supervisorOf(boss, control));
    writeFileSync(
      join(directory, 'logs/worker.log'),
      Array.from({ length: 2_000 }, (_, line) => `line ${line}\n`).join(''),
    );
    const seen = await status();
    expect(seen).toMatchObject({ state: 'crash-looping', healthy: false, reason: 'it fell', worker_pid: self.pid });
    expect(seen.log_tail).toHaveLength(10);
    expect(seen.log_tail?.at(-1)).toBe('line 1999');
  });

  test('restarted on a full disk: both records still tell of the worker before', async () => {
    const [boss, self] = [living(), living()];
    const worker = answering(() => liveOf(self.pid));
    const control: ControlAddress = answering(() =>
      supervisorOf(boss, control, { worker_pid: self.pid, worker_control: worker }),
    );
    writeSupervisor(directory, supervisorOf(boss, control));
    writeWorker(await dead(), { mode: 'daemon', control: refusing() });
    expect(await status()).toMatchObject({ state: 'running', worker_pid: self.pid, healthy: true, webui_url: null });
  });

  test('an answer of the worker before does not count', async () => {
    const [boss, self, before] = [living(), living(), living()];
    const control: ControlAddress = answering(() =>
      supervisorOf(boss, control, { state: 'starting', worker_pid: self.pid, worker_control: null }),
    );
    writeSupervisor(directory, supervisorOf(boss, control));
    writeWorker(before, { mode: 'daemon', control: answering(() => liveOf(before.pid)) });
    expect(await status()).toMatchObject({ state: 'starting', healthy: false, worker_pid: self.pid, slots: null });
  });

  test('a change that comes while it looks is seen', async () => {
    const [boss, self, gone] = [living(), living(), await dead()];
    const worker = answering(() => liveOf(self.pid));
    let looks = 0;
    const control: ControlAddress = answering(() => {
      looks += 1;
      return looks < 3
        ? supervisorOf(boss, control, { worker_pid: gone.pid, worker_control: refusing() })
        : supervisorOf(boss, control, { worker_pid: self.pid, worker_control: worker });
    });
    const written = supervisorOf(boss, control, { worker_pid: self.pid, worker_control: worker });
    writeSupervisor(directory, written);
    writeWorker(self, { mode: 'daemon', control: worker });
    expect(await status()).toMatchObject({ state: 'running', healthy: true, worker_pid: self.pid });
    expect(looks).toBe(3);
  });

  test('a killed supervisor: its worker runs on', async () => {
    const self = living();
    const worker = answering(() => liveOf(self.pid));
    writeSupervisor(
      directory,
      supervisorOf(await dead(), refusing(), { worker_pid: self.pid, worker_control: worker }),
    );
    writeWorker(self, { mode: 'daemon', control: worker });
    expect(await status()).toMatchObject({
      state: 'running',
      healthy: true,
      mode: 'daemon',
      pid: null,
      worker_pid: self.pid,
      restarts: 3,
      warnings: ['its supervisor has gone; the worker starts another within seconds', 'mind this'],
    });
  });

  test('a frozen supervisor is said, and a crash behind its back as well', async () => {
    const [boss, self] = [living(), living()];
    const worker = answering(() => liveOf(self.pid));
    const control = answering(() => 'frozen');
    writeSupervisor(directory, supervisorOf(boss, control, { worker_pid: self.pid, worker_control: worker }));
    writeWorker(self, { mode: 'daemon', control: worker });
    expect(await status()).toMatchObject({
      state: 'running',
      healthy: true,
      warnings: [expect.stringContaining('does not answer'), 'mind this'],
    });
    const gone = await dead();
    writeSupervisor(directory, supervisorOf(boss, control, { worker_pid: gone.pid, worker_control: refusing() }));
    writeWorker(gone, { mode: 'daemon', control: refusing() });
    expect(await status()).toMatchObject({
      state: 'stopped',
      healthy: false,
      pid: boss.pid,
      worker_pid: null,
      reason: 'the worker has gone, and its supervisor has not noticed',
    });
  });

  test('killed while its worker ended in order: the worker has said how', async () => {
    writeSupervisor(directory, supervisorOf(await dead(), refusing()));
    const end = { stopped_at: '2026-11-24T11:00:00.000Z', stop_reason: 'stopped by SIGTERM' };
    writeWorker(await dead(), { mode: 'daemon', ...end });
    expect(await status()).toMatchObject({
      state: 'stopped',
      mode: 'daemon',
      reason: end.stop_reason,
      state_since: end.stopped_at,
    });
    // That of an earlier daemon says nothing of this one.
    writeWorker(await dead(), { mode: 'daemon', ...end, started_at: '2026-11-24T08:00:00.000Z' });
    expect(await status()).toMatchObject({ state: 'stopped', reason: 'vanished' });
  });

  test('both vanished', async () => {
    writeSupervisor(directory, supervisorOf(await dead(), refusing()));
    writeWorker(await dead(), { mode: 'daemon' });
    expect(await status()).toMatchObject({ state: 'stopped', mode: 'daemon', pid: null, reason: 'vanished' });
  });

  test('failed for good, with the last lines of the log', async () => {
    const end = {
      state: 'failed',
      reason: 'the key was refused',
      hint: 'get another',
      stopped_at: '2026-11-24T11:00:00.000Z',
    } as const;
    writeSupervisor(directory, supervisorOf(await dead(), refusing(), end));
    writeFileSync(join(directory, 'logs/worker.log'), 'one\ntwo\n');
    expect(await status()).toMatchObject({
      state: 'failed',
      pid: null,
      state_since: '2026-11-24T11:00:00.000Z',
      reason: 'the key was refused',
      hint: 'get another',
      log_tail: ['one', 'two'],
    });
  });

  test('a worker in the foreground after a daemon is what counts, running and stopped', async () => {
    const self = living();
    writeSupervisor(
      directory,
      supervisorOf(await dead(), refusing(), { state: 'failed', stopped_at: '2026-11-24T09:30:00.000Z' }),
    );
    writeWorker(self, { control: answering(() => liveOf(self.pid)) });
    expect(await status()).toMatchObject({
      state: 'running',
      healthy: true,
      mode: 'foreground',
      pid: self.pid,
      restarts: 0,
    });
    writeWorker(self, { stopped_at: '2026-11-24T11:00:00.000Z', stop_reason: 'stopped' });
    expect(await status()).toMatchObject({ state: 'stopped', mode: 'foreground', reason: 'stopped' });
  });
});

test('a daemon of another container that answers is known by its answers alone', async () => {
  const [boss, self] = [living(), living()].map((identity) => ({ ...identity, pid_namespace: 'pid:[1]' })) as [
    Identity,
    Identity,
  ];
  const worker = answering(() => liveOf(self.pid));
  const control: ControlAddress = answering(() =>
    supervisorOf(boss, control, { worker_pid: self.pid, worker_control: worker }),
  );
  writeSupervisor(directory, supervisorOf(boss, control));
  expect(await status()).toMatchObject({ state: 'running', healthy: true, pid: boss.pid, worker_pid: self.pid });
});

test.each(['', '{"pid": 1', '[]', '{"instance_id":"i","pid":"1"}', '\u0000'])(
  'a record that is %p is none',
  (content) => {
    writeFileSync(join(directory, 'daemon_info.json'), content);
    writeFileSync(join(directory, 'supervisor.json'), content);
    expect(readPlace(directory)).toBeUndefined();
  },
);

test('the size of the log is that of all its files, and of nothing else', async () => {
  writeWorker(living(), { stopped_at: '2026-11-24T11:00:00.000Z' });
  for (const name of ['worker.log', 'worker.log.1', 'worker.log.12', 'worker.log.bak', 'stderr.log', 'a-stranger.1'])
    writeFileSync(join(directory, 'logs', name), 'x'.repeat(100));
  expect((await status()).log_bytes).toBe(300);
});

test('fifty at once are all right', async () => {
  const self = living();
  writeWorker(self, { control: answering(() => liveOf(self.pid)) });
  const all = await Promise.all(Array.from({ length: 50 }, status));
  expect(all.filter(({ healthy }) => healthy)).toHaveLength(50);
});
