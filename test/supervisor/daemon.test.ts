// A daemon from its start to its stop: ready when it says so, alive after every kill, found by the guide's commands, gone without a trace.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createHome, type Home } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { runCommand } from '../support/run-binary.ts';
import { until } from '../support/until.ts';
import { daemonOf, isGone, startDaemon, startWords } from './daemon.ts';

let home: Home;
let server: LocalServer;
beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home });
}, 90_000);
afterAll(async () => {
  await server.stop();
  await home.waitUntilEmpty(5_000);
  home.remove();
}, 60_000);

const kilobytes = (pid: number, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]);

/** Every path below with the permissions that it has. */
function modesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((name) => {
    const found = statSync(join(directory, name));
    return `${found.isDirectory() ? 'd' : '-'}${(found.mode & 0o777).toString(8)}`;
  });
}

test('start -d returns when the worker is ready and tells what there is; stop leaves nothing', async () => {
  const result = await runCommand(startWords('first', ['--json']), { home });
  expect(result).toMatchObject({ code: 0, stderr: '' });
  const started = JSON.parse(result.stdout) as Record<string, unknown>;
  const daemon = daemonOf('first', home);
  const supervisor = daemon.supervisor();
  expect(started).toEqual({
    queue: 'first',
    queue_id: supervisor.queue_id,
    pid: supervisor.pid,
    worker_pid: supervisor.worker_pid,
    worker_id: daemon.worker().worker_id,
    log_file: join(daemon.directory, 'logs/worker.log'),
    webui_url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    version: supervisor.version,
  });
  expect(await daemon.now()).toMatchObject({ state: 'running', restarts: 0, reason: null });
  expect(daemon.log()).toMatch(/Connected to Temporal[^]*Ready/);
  // Ready is what the server knows as well.
  const workers = (await server.request('GET', `/api/v1/worker-queues/${supervisor.queue_id}/workers`)) as unknown[];
  expect(workers).toHaveLength(1);
  const [pid, workerPid] = [supervisor.pid, supervisor.worker_pid ?? 0];
  expect(kilobytes(pid, 'Rss')).toBeLessThan(60 * 1024);
  // Nobody's terminal, nobody's directory, a session of its own.
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  expect(stat[3]).toBe(String(pid));

  const stopped = await daemon.run(['worker', 'stop', '--queue-id', 'first', '--json']);
  expect(stopped.code).toBe(0);
  expect(JSON.parse(stopped.stdout)).toMatchObject({
    queue: 'first',
    was_running: true,
    pid,
    calls_finished: 0,
    calls_stopped: 0,
  });
  expect(home.processes().filter((line) => line.includes('worker.py:first'))).toEqual([]);
  expect(isGone(supervisor)).toBe(true);
  expect(daemon.supervisor()).toMatchObject({ state: 'stopped', worker_pid: null, stopped_at: expect.any(String) });
  expect(daemon.worker()).toMatchObject({ pid: workerPid, stopped_at: expect.any(String) });
  const again = await daemon.run(['worker', 'stop', '--queue-id', supervisor.queue_id]);
  expect(again).toMatchObject({ code: 0, stderr: 'the worker of the queue first is not running\n' });
  const unknown = await daemon.run(['worker', 'stop', '--queue-id', 'nobody']);
  expect(unknown.code).toBe(4);
}, 60_000);

test('a killed worker is back within three seconds of its wait, a killed supervisor within five', async () => {
  const daemon = await startDaemon('killed', { home });
  const first = daemon.supervisor();
  process.kill(first.worker_pid ?? 0, 'SIGKILL');
  const waiting = await daemon.becomes('backing-off');
  expect(waiting).toMatchObject({ reason: 'the worker was ended by SIGKILL', restarts: 1, exit_code: null });
  const second = await daemon.becomes('running', { limitMs: 10_000 });
  expect(second.worker_pid).not.toBe(first.worker_pid);
  expect(Date.parse(second.state_since) - Date.parse(waiting.next_start_at ?? '')).toBeLessThan(3_000);
  expect(daemon.log()).toMatch(
    /\[ERROR\] supervisor: the worker was ended by SIGKILL; it is started again in 1\.\d s crashes_in_a_row=1/,
  );

  const killedMs = performance.now();
  process.kill(second.pid, 'SIGKILL');
  await until(() => daemon.supervisor().pid !== second.pid, { what: () => 'another supervisor is there' });
  const adopted = await daemon.becomes('running');
  expect(performance.now() - killedMs).toBeLessThan(5_000);
  expect(adopted).toMatchObject({ worker_pid: second.worker_pid, restarts: 1, queue_id: first.queue_id });

  // The one that it did not start itself is its worker all the same.
  process.kill(adopted.worker_pid ?? 0, 'SIGKILL');
  const third = await daemon.becomes('running', { previousPid: adopted.worker_pid ?? 0, limitMs: 10_000 });
  expect(third).toMatchObject({ restarts: 2, pid: adopted.pid });

  // Small also after it has had something to log.
  expect(kilobytes(third.pid, 'Rss')).toBeLessThan(60 * 1024);
  // A worker that was adopted is stopped as any other.
  process.kill(third.pid, 'SIGKILL');
  await until(() => daemon.supervisor().pid !== third.pid);
  await daemon.becomes('running');
  expect(await daemon.run(['worker', 'stop', '--queue-id', 'killed'])).toMatchObject({ code: 0 });
  expect(home.processes().filter((line) => line.includes('worker.py:killed'))).toEqual([]);
}, 60_000);

test('the guide’s ps and pkill find supervisor and worker, and both end in order', async () => {
  const daemon = await startDaemon('prod-queue', { home });
  const ps = execFileSync('sh', ['-c', 'ps aux | grep "worker.py.*prod-queue" | grep -v grep'], { encoding: 'utf8' });
  const { pid, worker_pid } = daemon.supervisor();
  const found = ps
    .trim()
    .split('\n')
    .map((line) => Number(line.split(/\s+/)[1]));
  expect(new Set(found)).toEqual(new Set([pid, worker_pid ?? 0]));
  execFileSync('pkill', ['-f', 'worker.py.*prod-queue']);
  const record = daemon.supervisor();
  await until(() => isGone(record), { what: () => 'the supervisor has ended' });
  expect(daemon.supervisor()).toMatchObject({ state: 'stopped', reason: 'stopped by SIGTERM', exit_code: 0 });
  expect(home.processes().filter((line) => line.includes('worker.py:prod-queue'))).toEqual([]);
  // Told twice, drained once.
  expect(daemon.log().match(/no new work is taken/g)).toHaveLength(1);
  expect(daemon.log()).not.toContain('calls are cancelled');
}, 60_000);

test('SIGTERM to the worker alone drains it and ends the supervision', async () => {
  const daemon = await startDaemon('alone', { home });
  const record = daemon.supervisor();
  // A terminal that closes is none of its business.
  process.kill(record.pid, 'SIGHUP');
  expect(await daemon.now()).toMatchObject({ state: 'running' });
  process.kill(record.worker_pid ?? 0, 'SIGTERM');
  await until(() => isGone(record));
  expect(daemon.supervisor()).toMatchObject({ state: 'stopped', reason: 'stopped by SIGTERM', restarts: 0 });
}, 60_000);

for (const umask of ['000', '0077', '0777']) {
  test(`files are their owner’s only with umask ${umask}`, async () => {
    const prefix = ['sh', '-c', `umask ${umask}; exec "$0" "$@"`];
    const daemon = await startDaemon(`umask-${umask}`, { home, prefix });
    const modes = [...modesBelow(daemon.directory), ...modesBelow(join(home.kubiyaHome, 'locks'))];
    await daemon.run(['worker', 'stop', '--queue-id', daemon.queue]);
    expect(new Set([...modes, ...modesBelow(daemon.directory)])).toEqual(new Set(['d700', '-600']));
  }, 60_000);
}
