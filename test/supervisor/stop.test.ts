// Stopping: what runs is drained or ended, whoever runs it; only what is ours is touched.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { processStartTime } from '../../src/lib/process-tree.ts';
import { readInstance } from '../../src/supervisor/instance.ts';
import { readSupervisor } from '../../src/supervisor/supervisor-record.ts';
import { builtBinary, createHome, type Home, startBinary } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { runCommand } from '../support/run-binary.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
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

const offline = ['--model', 'kubiya/offline'];
const stop = (...words: string[]) => runCommand(['worker', 'stop', ...words], { home });
const running = (word: string): readonly string[] => home.processes().filter((line) => line.includes(word));

/** An execution on the queue whose shell command is seen running. */
async function busy(queue: string, command: string): Promise<string> {
  const { queue_id } = daemonOf(queue, home).worker();
  const id = await server.execute(`run \`${command}\``, queue_id);
  await until(() => running(command).length > 0, { what: () => `${command} runs` });
  return id;
}

test('running calls are finished, and the command says so', async () => {
  await startDaemon('finishing', { home, words: offline });
  const id = await busy('finishing', 'sleep 1.75');
  const result = await stop('--queue-id', 'finishing');
  expect(result).toMatchObject({ code: 0, stderr: expect.stringMatching(/running calls: 1 finished, 0 stopped/) });
  expect(running('sleep 1.75')).toEqual([]);
  // The rest of it is for the next worker of the queue.
  const next = await startDaemon('finishing', { home, words: offline });
  expect((await server.ended(id, 20_000)).status).toBe('completed');
  await next.run(['worker', 'stop', '--queue-id', 'finishing']);
}, 60_000);

test('calls that outlast --timeout are stopped, with --force at once', async () => {
  await startDaemon('ending', { home, words: offline });
  await busy('ending', 'sleep 71.5');
  const slow = await stop('--queue-id', 'ending', '--timeout', '500ms');
  expect(slow).toMatchObject({ code: 0, stderr: expect.stringMatching(/running calls: 0 finished, 1 stopped/) });
  expect(running('sleep 71.5')).toEqual([]);

  const daemon = await startDaemon('ending', { home, words: offline });
  await busy('ending', 'sleep 72.5');
  const forced = await stop('--queue-id', 'ending', '--force', '--json');
  expect(forced.code).toBe(0);
  expect(JSON.parse(forced.stdout)).toMatchObject({ was_running: true, calls_finished: null });
  expect(forced.durationMs).toBeLessThan(5_000);
  expect(daemon.supervisor()).toMatchObject({ state: 'stopped' });
  await until(() => running('sleep 72.5').length === 0, { limitMs: 5_000 });
  expect(running('worker.py:ending')).toEqual([]);
  // That of the server is left.
  expect(running('__guardian')).toHaveLength(1);
}, 60_000);

test('SIGTERM to the supervisor alone drains its worker', async () => {
  const words = ['worker', 'start', '--queue-id', 'signalled', '--webui-port', '0', '--mode', 'daemon'];
  expect(await runCommand(words, { home })).toMatchObject({ code: 0, stdout: expect.stringContaining('is ready') });
  const daemon = daemonOf('signalled', home);
  const record = daemon.supervisor();
  process.kill(record.pid, 'SIGTERM');
  await until(() => isGone(record));
  expect(daemon.supervisor()).toMatchObject({ state: 'stopped', reason: 'stopped by SIGTERM', exit_code: 0 });
  expect(daemon.log()).toContain('Drained');
  expect(running('worker.py:signalled')).toEqual([]);
}, 60_000);

test('a foreground worker is stopped by the same command, and not restarted by the other', async () => {
  const worker = await startWorkerProcess({ home, queue: 'here', words: ['--webui-port', '0'] });
  const restart = await runCommand(['worker', 'restart', '--queue-id', 'here'], { home });
  expect(restart).toMatchObject({ code: 2, stderr: expect.stringContaining('runs in the foreground') });
  const other = await startDaemon('there', { home });
  const ambiguous = await stop();
  expect(ambiguous).toMatchObject({ code: 2, stderr: expect.stringContaining('here, there') });
  const all = await stop('--all', '--json');
  expect(all.code).toBe(0);
  expect((JSON.parse(all.stdout) as { queue: string }[]).map(({ queue }) => queue)).toEqual(['here', 'there']);
  expect((await worker.process.exited).code).toBe(0);
  expect(worker.process.output()).toContain('stopped by `kubiya worker stop`');
  expect(readInstance(worker.directory)?.stop_reason).toBe('stopped by `kubiya worker stop`');
  expect(other.supervisor().state).toBe('stopped');
  expect(await stop('--all')).toMatchObject({ code: 0, stderr: 'no worker is running\n' });
}, 60_000);

test('a pid that belongs to a stranger is not touched', async () => {
  const daemon = await startDaemon('reused', { home });
  await stop('--queue-id', 'reused');
  const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
  const pid = stranger.pid ?? 0;
  try {
    for (const [file, startTime] of [
      ['supervisor.json', daemon.supervisor().start_time],
      ['daemon_info.json', daemon.worker().start_time],
    ] as const) {
      const path = join(daemon.directory, file);
      const record = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
      // A record of a process that was killed, whose pid the system has given away since.
      writeFileSync(path, JSON.stringify({ ...record, pid, start_time: startTime, stopped_at: null }));
    }
    expect(await stop('--queue-id', 'reused', '--force')).toMatchObject({ code: 0 });
    expect(processStartTime(pid)).not.toBeNull();
    // The same with the start time of the stranger, but without an answer: asked politely, nothing is signalled.
    const path = join(daemon.directory, 'supervisor.json');
    const record = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    writeFileSync(path, JSON.stringify({ ...record, pid, start_time: processStartTime(pid), stopped_at: null }));
    expect((await stop('--queue-id', 'reused')).code).toBe(9);
    expect(processStartTime(pid)).not.toBeNull();
  } finally {
    stranger.kill('SIGKILL');
  }
}, 60_000);

test('Ctrl+C while it starts in the background takes the start back', async () => {
  const start = startBinary(startWords('regretted'), { home });
  await until(() => readSupervisor(join(home.kubiyaHome, 'workers/regretted')) !== null);
  const end = await start.end('SIGINT');
  // Ready may have been faster than the signal.
  if (end.code === 0) await stop('--queue-id', 'regretted');
  else expect(start.output()).toContain('the start was interrupted');
  expect([0, 130]).toContain(end.code ?? -1);
  expect(running('worker.py:regretted')).toEqual([]);
}, 60_000);

test('a daemon for one execution ends with it', async () => {
  const queue = (await server.request('POST', '/api/v1/environments/default/worker-queues', { name: 'single' })) as {
    id: string;
  };
  const id = await server.execute('run `echo once`', queue.id);
  const daemon = await startDaemon('single', { home, words: [...offline, '--once'] });
  await until(() => isGone(daemon.supervisor()), { limitMs: 20_000 });
  expect((await server.execution(id)).status).toBe('completed');
  expect(daemon.supervisor()).toMatchObject({ state: 'stopped', exit_code: 0, restarts: 0 });
}, 60_000);

test('under a shell that is pid 1 of its container it is a daemon all the same', () => {
  const inside = [
    'mount -t proc proc /proc 2>/dev/null',
    `"$0" worker start --queue-id boxed --webui-port 0 -d || exit 11`,
    `"$0" worker status --queue-id boxed --json || exit 12`,
    `"$0" worker stop --queue-id boxed || exit 13`,
    'ps ax | grep "[w]orker.py:boxed" && exit 14',
    'exit 0',
  ].join('\n');
  const result = spawnSync(
    'unshare',
    ['--user', '--map-root-user', '--pid', '--mount', '--fork', 'sh', '-c', inside, builtBinary()],
    {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] ?? '', HOME: home.directory, KUBIYA_HOME: home.kubiyaHome },
      timeout: 50_000,
    },
  );
  expect({ status: result.status, output: result.status === 0 ? '' : `${result.stdout}${result.stderr}` }).toEqual({
    status: 0,
    output: '',
  });
}, 60_000);
