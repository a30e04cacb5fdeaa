// What goes wrong with a daemon: starts that fail, starts that come second, workers that hang, files that vanish, programs that are replaced.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { chmodSync, copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import type { StartedDaemon } from '../../src/processes/daemon.ts';
import { readPlace } from '../../src/supervisor/select.ts';
import { builtBinary, createHome, type Home } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { runCommand } from '../support/run-binary.ts';
import { startScriptedControlPlane } from '../support/scripted-control-plane.ts';
import { until } from '../support/until.ts';
import { isGone, startDaemon, startWords } from './daemon.ts';

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

/** No process, and no worker that list would show; the log may stay. */
function expectNothingOf(queue: string): void {
  expect(home.processes().filter((line) => line.includes(queue))).toEqual([]);
  const directory = join(home.kubiyaHome, 'workers', queue);
  expect(existsSync(directory) ? readdirSync(directory) : ['logs']).toEqual(['logs']);
}

test('a start that fails says why, returns its code and leaves nothing', async () => {
  const refusing = await startScriptedControlPlane({
    override: () => ({ status: 401, body: { detail: 'the key has expired' } }),
  });
  const taken = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => taken.once('listening', done));
  const { port } = taken.address() as AddressInfo;
  const cloud = { KUBIYA_API_KEY: 'sk-wrong-0123456789', CONTROL_PLANE_URL: refusing.url };
  try {
    const key = await runCommand(startWords('wrong-key'), { home, environment: cloud });
    expect(key.code).toBe(3);
    expect(key.stderr).toMatch(/^error: /);
    expectNothingOf('wrong-key');
    const there = { KUBIYA_API_KEY: server.token, CONTROL_PLANE_URL: server.url };
    const unknown = await runCommand(startWords('unknown-queue'), { home, environment: there });
    expect({ code: unknown.code, stderr: unknown.stderr }).toEqual({
      code: 4,
      stderr: expect.stringContaining('unknown-queue'),
    });
    expectNothingOf('unknown-queue');
    const busy = ['worker', 'start', '--queue-id', 'busy-port', '-d', '--webui-port', String(port)];
    const port_taken = await runCommand(busy, { home });
    expect(port_taken).toMatchObject({ code: 6, stderr: expect.stringContaining(`${port} is taken`) });
    expectNothingOf('busy-port');
  } finally {
    taken.close();
    await refusing.stop();
  }
}, 60_000);

test('of many starts at once, by name and by id, one has the queue', async () => {
  const queue = (await server.request('POST', '/api/v1/environments/default/worker-queues', { name: 'one' })) as {
    id: string;
  };
  const names = ['one', queue.id, 'one', queue.id];
  const results = await Promise.all(names.map((name) => runCommand(startWords(name, ['--json']), { home })));
  expect(results.map(({ code }) => code).filter((code) => code === 2)).toHaveLength(3);
  for (const { code, stderr } of results) if (code === 2) expect(stderr).toMatch(/already|faster/);
  const winner = JSON.parse(results.find(({ code }) => code === 0)?.stdout ?? '') as StartedDaemon;
  const { pid, queue: place, worker_pid } = winner;
  // While its worker is down, the queue is still the supervisor's.
  const other = place === 'one' ? queue.id : 'one';
  process.kill(worker_pid ?? 0, 'SIGKILL');
  const second = await runCommand(['worker', 'start', '--queue-id', other, '--webui-port', '0'], { home });
  expect(second.code).toBe(2);
  expect(second.stderr).toContain(`the supervisor ${pid} already keeps a worker`);
  expect(second.stderr).toContain('kubiya worker stop');
  // Stopped by the other name.
  expect((await runCommand(['worker', 'stop', '--queue-id', other], { home })).code).toBe(0);
  expect(home.processes().filter((line) => line.includes('worker.py:'))).toEqual([]);
}, 60_000);

test('a worker that hangs is killed and started again; a frozen supervisor needs --force', async () => {
  const environment = { KUBIYA_INTERNAL_LIVENESS_MS: '200,2000' };
  const daemon = await startDaemon('hung', { home, environment });
  const first = daemon.supervisor();
  process.kill(first.worker_pid ?? 0, 'SIGSTOP');
  const next = await daemon.becomes('running', { previousPid: first.worker_pid ?? 0, limitMs: 15_000 });
  expect(next.restarts).toBe(1);
  expect(daemon.log()).toMatch(/\[ERROR\] supervisor: the worker did not answer for 2 s and was killed/);

  process.kill(next.pid, 'SIGSTOP');
  const polite = await daemon.run(['worker', 'stop', '--queue-id', 'hung']);
  expect(polite).toMatchObject({ code: 9, stderr: expect.stringContaining('--force') });
  // The others are stopped all the same, and said to be.
  await startDaemon('well', { home });
  const all = await daemon.run(['worker', 'stop', '--all']);
  expect(all).toMatchObject({ code: 9, stderr: expect.stringContaining('the worker of the queue well') });
  const forced = await daemon.run(['worker', 'stop', '--queue-id', 'hung', '--force']);
  expect(forced.code).toBe(0);
  expect(home.processes().filter((line) => line.includes('worker.py:hung'))).toEqual([]);
}, 60_000);

test('a removed log directory and a removed place come back', async () => {
  const daemon = await startDaemon('removed', { home });
  rmSync(join(daemon.directory, 'logs'), { recursive: true });
  rmSync(join(daemon.directory, 'supervisor.json'));
  await until(() => existsSync(join(daemon.directory, 'supervisor.json')), { limitMs: 8_000 });
  for (const name of ['supervisor.json', 'daemon_info.json']) writeFileSync(join(daemon.directory, name), '{"pid":1}');
  const isBack = (): boolean => {
    const place = readPlace(daemon.directory);
    return place !== undefined && place.record !== null && place.supervisor !== null;
  };
  await until(isBack, { limitMs: 8_000 });
  rmSync(daemon.directory, { recursive: true });
  await until(() => ['supervisor.json', 'daemon_info.json'].every((name) => existsSync(join(daemon.directory, name))), {
    limitMs: 8_000,
  });
  const before = await daemon.becomes('running');
  process.kill(before.worker_pid ?? 0, 'SIGKILL');
  await daemon.becomes('running', { previousPid: before.worker_pid ?? 0 });
  expect(daemon.log()).toContain('supervisor: the worker was ended by SIGKILL');
  expect((await daemon.run(['worker', 'stop', '--queue-id', 'removed'])).code).toBe(0);
}, 60_000);

test('without the files of its locks the queue is still the running worker’s', async () => {
  const daemon = await startDaemon('unlocked', { home });
  rmSync(join(home.kubiyaHome, 'locks'), { recursive: true });
  const { pid, queue_id } = daemon.supervisor();
  for (const name of ['unlocked', queue_id]) {
    const second = await runCommand(
      ['worker', 'start', '--queue-id', name, '--webui-port', '0', '--max-uptime', '1s'],
      { home },
    );
    expect(second).toMatchObject({ code: 2, stderr: expect.stringContaining(`the supervisor ${pid} already keeps`) });
  }
  expect((await daemon.run(['worker', 'stop', '--queue-id', 'unlocked'])).code).toBe(0);
}, 60_000);

test('restart drains, and takes the program that is on disk then; a broken one is refused', async () => {
  const program = join(home.directory, 'kubiya');
  copyFileSync(builtBinary(), program);
  const prefix = ['sh', '-c', `exec ${program} "$@"`];
  const daemon = await startDaemon('upgraded', { home, prefix });
  const first = daemon.supervisor();

  // What a supervisor that was frozen reads when it goes on: whoever asked has been told that nothing was done.
  const { port, token } = first.control;
  const body = JSON.stringify({ rung: 'drain', reason: 'long ago', expires_at_ms: Date.now() - 1 });
  const headers = { authorization: `Bearer ${token}` };
  const late = await fetch(`http://127.0.0.1:${port}/v1/restart`, { method: 'POST', headers, body });
  expect({ status: late.status, text: await late.text() }).toEqual({ status: 409, text: 'whoever asked has given up' });
  expect(await daemon.now()).toMatchObject({ state: 'running', worker_pid: first.worker_pid });

  rmSync(program);
  writeFileSync(program, 'no program');
  chmodSync(program, 0o755);
  const refused = await daemon.run(['worker', 'restart', '--queue-id', 'upgraded']);
  expect(refused).toMatchObject({ code: 6, stderr: expect.stringContaining('does not answer with its version') });
  expect(await daemon.now()).toMatchObject({ state: 'running', worker_pid: first.worker_pid });

  // One that loads, and cannot do what it is for.
  writeFileSync(program, '#!/bin/sh\n[ "$1" = --version ] && echo kubiya 9.9.9 && exit 0\nexit 1\n');
  const useless = await daemon.run(['worker', 'restart', '--queue-id', 'upgraded']);
  expect(useless).toMatchObject({ code: 6, stderr: expect.stringContaining('cannot supervise a worker') });
  expect(await daemon.now()).toMatchObject({ state: 'running', worker_pid: first.worker_pid });

  // One that fails only when it takes over: it is said, and at once.
  writeFileSync(program, `#!/bin/sh\n[ "$1" = __supervisor ] && [ -n "$2" ] && exit 1\nexec ${builtBinary()} "$@"\n`);
  const lost = await daemon.run(['worker', 'restart', '--queue-id', 'upgraded']);
  expect(lost.code).toBe(6);
  expect(lost.stderr).toContain('the next supervisor ended with exit code 1');
  expect(lost.stderr).toContain('kubiya worker start --queue-id upgraded -d');
  expect(daemon.supervisor()).toMatchObject({ state: 'failed', stopped_at: expect.any(String) });
  rmSync(program);
  copyFileSync(builtBinary(), program);
  await startDaemon('upgraded', { home, prefix });
  const good = daemon.supervisor();

  rmSync(program);
  writeFileSync(program, `#!/bin/sh\nexec ${builtBinary()} "$@"\n`);
  chmodSync(program, 0o755);
  const done = await daemon.run(['worker', 'restart', '--queue-id', 'upgraded', '--json']);
  expect(done.code).toBe(0);
  const next = daemon.supervisor();
  expect(JSON.parse(done.stdout)).toMatchObject({ queue: 'upgraded', previous_pid: good.pid, pid: next.pid });
  expect(next.pid).not.toBe(good.pid);
  expect(isGone(good)).toBe(true);
  expect(daemon.log()).toContain('restarted by `kubiya worker restart`: no new work is taken');
  expect(await daemon.now()).toMatchObject({ state: 'running', restarts: 0 });
  expect((await daemon.run(['worker', 'stop', '--queue-id', 'upgraded'])).code).toBe(0);
  const stopped = await daemon.run(['worker', 'restart', '--queue-id', 'upgraded']);
  expect(stopped).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('kubiya worker start --queue-id upgraded -d'),
  });
}, 60_000);

test('a killed daemon that runs the local control plane announces it anew, and takes it along when it ends', async () => {
  const alone = createHome();
  try {
    const record = join(alone.kubiyaHome, 'local/server.json');
    const owner = (): number => (JSON.parse(readFileSync(record, 'utf8')) as { pid: number }).pid;
    const daemon = await startDaemon('owner', { home: alone });
    const first = daemon.supervisor().worker_pid ?? 0;
    expect(owner()).toBe(first);
    process.kill(first, 'SIGKILL');
    const next = await daemon.becomes('running', { previousPid: first });
    expect(owner()).toBe(next.worker_pid ?? 0);
    expect((await daemon.run(['worker', 'stop'])).code).toBe(0);
    expect(existsSync(record)).toBe(false);
    await alone.waitUntilEmpty(5_000);
  } finally {
    alone.remove();
  }
}, 60_000);
