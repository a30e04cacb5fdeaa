// The ladder of `worker start`: the first signal drains, the second cancels what runs, the third leaves; nothing stays behind.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHome, type Home } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';
import { until } from '../support/until.ts';

/** What a second signal may take: TERM, 2 s of grace, KILL, the journal, the disconnect; on a busy machine. */
const cancelLimitMs = 15_000;
/** Nothing is waited for; the rest is a busy machine. */
const atOnceMs = 2_000;
/** For the guardian, which looks twice. */
const goneWithinMs = 2_000;
let home: Home;
let server: LocalServer;
let queues = 0;

beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home });
});
afterAll(async () => {
  await server.stop();
  await home.waitUntilEmpty(5_000);
  home.remove();
});

interface Scene {
  readonly worker: WorkerProcess;
  readonly executionId: string;
  readonly queue: string;
  /** Processes other than the server's own. */
  others(): readonly string[];
}

/** A worker of its own queue whose tool is under way. */
async function during(command: string, words: readonly string[]): Promise<Scene> {
  queues += 1;
  const queue = `stop-${queues}`;
  const began = join(home.directory, `${queue}.began`);
  const serverProcesses = new Set(home.processes());
  const worker = await startWorkerProcess({ home, queue, words: ['--model', 'kubiya/offline', ...words] });
  const executionId = await server.execute(`run \`touch '${began}'; ${command}\``, queue);
  await until(() => existsSync(began), {
    what: () => `the tool has begun; the worker said\n${worker.process.output()}`,
  });
  return { worker, executionId, queue, others: () => home.processes().filter((line) => !serverProcesses.has(line)) };
}

test('the first signal lets the running call end, says so, and leaves', async () => {
  const scene = await during('sleep 2; echo finished-in-peace', ['--drain-timeout', '30s']);
  const { process } = scene.worker;
  const end = await process.end('SIGTERM', 30_000);
  expect(end).toMatchObject({ code: 0, signal: null });
  expect(process.output()).toMatch(
    /SIGTERM: no new work is taken, running calls get 30 s; a second signal cancels them/,
  );
  expect(process.output()).toMatch(/"calls_finished":1,"calls_stopped":0,"msg":"Drained"/);
  expect(scene.others()).toEqual([]);
  // Its result is not lost: another worker goes on with it and does not run it again.
  const next = await startWorkerProcess({ home, queue: scene.queue, words: ['--model', 'kubiya/offline'] });
  expect(await server.ended(scene.executionId, 30_000)).toMatchObject({
    status: 'completed',
    response: expect.stringContaining('finished-in-peace'),
  });
  const started = (await server.events(scene.executionId)).filter(({ event_type: type }) => type === 'tool_started');
  expect(started).toHaveLength(1);
  await next.process.end('SIGTERM');
});

test('a call that outlasts the drain limit is stopped, and the log says how many', async () => {
  const marker = join(home.directory, 'limit.ended');
  const scene = await during(`sleep 45; touch '${marker}'`, ['--drain-timeout', '1s']);
  const { process } = scene.worker;
  expect(await process.end('SIGTERM', cancelLimitMs)).toMatchObject({ code: 0 });
  expect(process.output()).toMatch(/"calls_finished":0,"calls_stopped":1,"msg":"Drained"/);
  expect(scene.others()).toEqual([]);
  expect(existsSync(marker)).toBe(false);
});

test('the second signal cancels the call with its whole group and what left the group', async () => {
  const deaf = `trap '' TERM; sleep 71 & setsid sleep 72 & sh -c 'trap "" TERM; sleep 73' & sleep 74`;
  const scene = await during(deaf, ['--drain-timeout', '60s']);
  const { process } = scene.worker;
  await until(() => [71, 72, 73, 74].every((seconds) => isSleeping(scene, seconds)), {
    what: () => 'all children run',
  });
  process.signal('SIGTERM');
  await process.waitFor(/SIGTERM: no new work is taken/);
  const startMs = performance.now();
  expect(await process.end('SIGTERM', cancelLimitMs)).toMatchObject({ code: 0 });
  expect(performance.now() - startMs).toBeLessThan(cancelLimitMs);
  expect(process.output()).toMatch(/SIGTERM again: running calls are cancelled; a third signal leaves at once/);
  expect(scene.others()).toEqual([]);
  // It is known what became of the call: it was stopped, and the journal says so.
  expect(readFileSync(join(scene.worker.journalDirectory, `${scene.executionId}.jsonl`), 'utf8')).toMatch(
    /"type":"finished"/,
  );
});

test('the third signal leaves at once, even when the control plane hangs, and nothing is left either', async () => {
  const scene = await during(`trap '' TERM; setsid sleep 81 & sleep 82`, ['--drain-timeout', '60s']);
  const { process } = scene.worker;
  server.process.signal('SIGSTOP');
  try {
    for (const pattern of [/no new work is taken/, /running calls are cancelled/]) {
      process.signal('SIGTERM');
      await process.waitFor(pattern);
    }
    const startMs = performance.now();
    expect(await process.end('SIGTERM', cancelLimitMs)).toMatchObject({ code: 130 });
    expect(performance.now() - startMs).toBeLessThan(atOnceMs);
    await nothingOf(scene);
  } finally {
    server.process.signal('SIGCONT');
  }
});

test('killed with -9 during a call, the worker leaves nothing running', async () => {
  const scene = await during(`trap '' TERM; setsid sleep 91 & sleep 92`, []);
  await until(() => isSleeping(scene, 91), { what: () => 'the child in a session of its own runs' });
  await scene.worker.process.end('SIGKILL');
  await nothingOf(scene);
});

test.each<[NodeJS.Signals, number | null]>([
  ['SIGTERM', 0],
  ['SIGKILL', null],
])('a worker that runs the control plane itself takes it along at %s', async (signal, code) => {
  const own = createHome();
  try {
    const { process } = await startWorkerProcess({ home: own, queue: 'own', words: ['--model', 'kubiya/offline'] });
    expect(own.processes().some((line) => line.includes('start-dev'))).toBe(true);
    expect(await process.end(signal)).toMatchObject({ code });
    await own.waitUntilEmpty(goneWithinMs);
  } finally {
    own.remove();
  }
});

async function nothingOf(scene: Scene): Promise<void> {
  await until(() => scene.others().length === 0, {
    limitMs: goneWithinMs,
    what: () => `nothing is left, but ${scene.others().join(', ')}`,
  });
}

function isSleeping(scene: Scene, seconds: number): boolean {
  return scene.others().some((line) => line.includes(`sleep ${seconds}`));
}
