// The local control plane of one user: who runs it, who finds it, and what becomes of it when its owner stops.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createHome, type Home, type RunningBinary, startBinary } from '../support/binary.ts';
import { startLocalServer } from '../support/local-server.ts';
import { runCommand } from '../support/run-binary.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import { failureOf } from './lab.ts';

let home: Home;
let running: RunningBinary[] = [];
beforeEach(() => {
  home = createHome();
});
afterEach(async () => {
  try {
    for (const one of running) if (!one.hasExited) await one.end('SIGTERM');
    await home.waitUntilEmpty(3_000);
  } finally {
    running = [];
    home.remove();
  }
});

const run = (words: readonly string[]) => runCommand(words, { home });
const offline = ['--model', 'kubiya/offline'];

test('in the background: start says where, status knows it, a second one is refused, stop waits for its end', async () => {
  const started = await run(['server', 'start', '-d']);
  expect(started.code).toBe(0);
  expect(started.stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\n$/);
  const status = JSON.parse((await run(['server', 'status', '--json'])).stdout) as Record<string, unknown>;
  expect(status).toMatchObject({ state: 'running', url: started.stdout.trim() });
  const second = await run(['server', 'start']);
  expect(second.code).toBe(2);
  expect(failureOf(second).error).toContain(String(status['pid']));
  expect(await run(['server', 'stop'])).toMatchObject({ code: 0 });
  await home.waitUntilEmpty(1_000);
  expect((await run(['server', 'status'])).code).toBe(1);
}, 90_000);

test('one with another data directory does not hide the first', async () => {
  const first = await startLocalServer({ home });
  running.push(first.process);
  const second = await startLocalServer({ home, words: ['--data-dir', join(home.directory, 'other')] });
  running.push(second.process);
  expect(second.process.output()).toContain(first.url);
  const url = async () => (JSON.parse((await run(['server', 'status', '--json'])).stdout) as { url: string }).url;
  expect(await url()).toBe(first.url);
  await second.process.end('SIGTERM');
  expect(await url()).toBe(first.url);
}, 90_000);

test('a Temporal that does not answer is said at the start, with its address', async () => {
  const server = startBinary(['server', 'start', '--temporal-address', '127.0.0.1:1'], { home });
  running.push(server);
  expect((await server.waitFor(/WARN.*Temporal does not answer[^\n]*/))[0]).toContain('127.0.0.1:1');
}, 60_000);

test('two workers that start at once share one; its owner stays until the other has stopped', async () => {
  const workers = await Promise.all(['left', 'right'].map((queue) => startWorkerProcess({ home, queue })));
  running.push(...workers.map(({ process }) => process));
  const isOwner = ({ process }: (typeof workers)[number]) =>
    process.output().includes('Started the local control plane');
  const owner = workers.find(isOwner);
  const other = workers.find((worker) => !isOwner(worker));
  if (owner === undefined || other === undefined) throw new Error('not exactly one of them owns the control plane');
  owner.process.signal('SIGTERM');
  await owner.process.waitFor(/Others still use this local control plane/);
  const queue = other.directory.endsWith('left') ? 'left' : 'right';
  const result = await run(['exec', '--yes', '--queue', queue, ...offline, 'run `echo still here`']);
  expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('still here') });
  expect((await other.process.end('SIGTERM')).code).toBe(0);
  expect((await owner.process.exited).code).toBe(0);
  expect(existsSync(join(home.kubiyaHome, 'local/server.json'))).toBe(false);
}, 120_000);
