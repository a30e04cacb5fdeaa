// The worker's log through the built program: what the guide greps for, what `worker logs` shows, and its variables.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  childEnvironment,
  commandOf,
  createHome,
  type Home,
  type RunningBinary,
  startBinary,
} from '../support/binary.ts';
import { runCommand } from '../support/run-binary.ts';
import { until } from '../support/until.ts';

let home: Home;
let worker: RunningBinary;
const queue = 'logs-queue';
const secret = 'sk-live-0a1b2c3d/4e5f+6g7h';
beforeAll(async () => {
  home = createHome();
  worker = await startWorker(queue, { OPENAI_API_KEY: secret });
}, 90_000);
afterAll(async () => {
  if (!worker.hasExited) await worker.end('SIGTERM');
  home.remove();
}, 60_000);

async function startWorker(name: string, environment: Record<string, string>): Promise<RunningBinary> {
  const words = ['worker', 'start', '--queue-id', name, '--webui-port', '0'];
  const running = startBinary(words, { home, environment });
  await until(() => running.output().includes('Ready') || running.hasExited || isQuiet(name, environment), {
    limitMs: 60_000,
    what: () => `Ready in ${running.output()}`,
  });
  return running;
}

/** A worker that says only what is wrong is ready when its record names it. */
function isQuiet(name: string, environment: Record<string, string>): boolean {
  if (environment['LOG_LEVEL']?.toLowerCase().startsWith('warn') !== true) return false;
  try {
    const record = JSON.parse(readFileSync(join(home.kubiyaHome, 'workers', name, 'daemon_info.json'), 'utf8')) as {
      worker_id: string | null;
    };
    return record.worker_id !== null;
  } catch {
    return false;
  }
}

const logFile = (name = queue): string => join(home.kubiyaHome, 'workers', name, 'logs', 'worker.log');
const logText = (name = queue): string => readFileSync(logFile(name), 'utf8');
const logs = (...words: string[]) => runCommand(['worker', 'logs', '--queue-id', queue, ...words], { home });
const linesOf = (text: string): string[] => text.split('\n').slice(0, -1);

async function execute(prompt: string): Promise<{ code: number; id: string; stdout: string }> {
  const words = ['exec', 'agent', 'default', '--queue', queue, '--model', 'kubiya/offline', '--stream-format', 'json'];
  const { code, stdout } = await runCommand([...words, prompt], { home });
  const done = JSON.parse(linesOf(stdout).at(-1) ?? '{}') as { execution_id?: string };
  return { code, id: done.execution_id ?? '', stdout };
}

test('the greps of the guide find what they promise, by execution too, and no secret is anywhere', async () => {
  const good = await execute(`run \`echo ${secret}; echo ${Buffer.from(secret).toString('base64')}\``);
  const bad = await execute('run `echo no >&2; exit 3`');
  expect([good.code, bad.code]).toEqual([0, 1]);
  await until(() => logText().includes('Task failed'), { limitMs: 5_000 });
  const text = logText();
  for (const phrase of ['Connected to Temporal', 'Task completed', 'Activity completed', 'Activity failed']) {
    expect(text).toContain(phrase);
  }
  expect(linesOf(text).find((line) => line.includes('Activity failed'))).toMatch(
    new RegExp(`\\[WARN\\] \\S+: Activity failed execution=${bad.id} turn=1 tool=\\S+ duration_ms=\\d+ reason=`),
  );
  expect(
    linesOf(text).filter((line) => line.includes('Activity completed') && line.includes(good.id)).length,
  ).toBeGreaterThan(1);
  const directory = join(home.kubiyaHome, 'workers', queue);
  for (const name of ['logs/worker.log', 'daemon_info.txt', 'daemon_info.json']) {
    expect(readFileSync(join(directory, name), 'utf8')).not.toContain('0a1b2c3d');
  }
  expect(worker.output()).not.toContain('0a1b2c3d');
  // What the tools have printed comes through events; only the prompt is the user's own words.
  const toolLines = linesOf(good.stdout).filter((line) => /"type":"tool_(?:output|completed)"/.test(line));
  expect(toolLines.length).toBeGreaterThan(0);
  expect(toolLines.join()).not.toContain('0a1b2c3d');
  expect(toolLines.join()).toContain('[redacted]');
  expect(statSync(logFile()).mode & 0o777).toBe(0o600);

  const all = linesOf((await logs('-n', 'all')).stdout);
  expect(all).toEqual(linesOf(logText()).slice(0, all.length));
  expect(linesOf((await logs('-n', '2')).stdout)).toHaveLength(2);
  const own = linesOf((await logs('--execution', bad.id, '--level', 'WARNING')).stdout);
  expect(own.length).toBeGreaterThan(0);
  for (const line of own) expect(line).toMatch(new RegExp(`\\[(WARN|ERROR)\\].*${bad.id}`));
  const objects = linesOf((await logs('--grep', 'Task (completed|failed)', '--json')).stdout).map(
    (line) => JSON.parse(line) as { message: string; fields: Record<string, unknown> },
  );
  expect(objects.map(({ message }) => message)).toEqual(['Task completed', 'Task failed']);
  expect(objects[0]?.fields).toMatchObject({ execution: good.id, duration_ms: expect.any(Number) });
  expect((await logs('--since', '1ms', '--grep', 'Connected')).stdout).toBe('');
  expect(linesOf((await logs('--since', '1h', '--grep', 'Connected to')).stdout).length).toBeGreaterThan(0);
  expect((await logs('-n', '1')).stdout).not.toContain('\u001b');
}, 60_000);

test.each([[['--grep', '(']], [['-n', '-1']], [['-n', 'many']], [['--since', 'yesterday']], [['--level', 'loud']]])(
  '%j is one clear error',
  async (words) => {
    const { code, stderr, stdout } = await logs(...words);
    expect([code, stdout]).toEqual([2, '']);
    expect(linesOf(stderr).length).toBeLessThanOrEqual(2);
    expect(stderr).toContain(words[0]?.replace('-n', '--lines') ?? '');
  },
);

test('a queue that no worker has had is an error with a hint', async () => {
  const { code, stderr } = await runCommand(['worker', 'logs', '--queue-id', 'nobody'], { home });
  expect(code).not.toBe(0);
  expect(stderr).toContain('nobody');
});

test('-f shows what comes, and Ctrl+C ends it with 130 and no word', async () => {
  const [program, ...rest] = commandOf(['worker', 'logs', '-f', '-n', '1'], { home });
  const child = spawn(program, rest, { env: childEnvironment({ home, environment: { QUEUE_ID: queue } }) });
  let output = '';
  let problems = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (problems += chunk));
  const exited = new Promise<number>((done) =>
    child.once('exit', (code, signal) => done(signal === 'SIGINT' ? 130 : (code ?? -1))),
  );
  await until(() => output !== '', { limitMs: 5_000 });
  const { id } = await execute('run `true`');
  await until(() => output.includes(`Task completed execution=${id}`), { limitMs: 5_000, what: () => output });
  child.kill('SIGINT');
  expect(await exited).toBe(130);
  expect(problems).toBe('');
}, 30_000);

test('a reader that leaves ends it quietly', async () => {
  const [program, ...rest] = commandOf(['worker', 'logs', '-n', 'all', '--queue-id', queue], { home });
  const script = '"$0" "$@" | head -1; echo "${PIPESTATUS[0]}"';
  const child = Bun.spawn(['bash', '-c', script, program, ...rest], {
    env: childEnvironment({ home }),
    stderr: 'pipe',
  });
  const [output, problems] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  expect(problems).toBe('');
  expect(linesOf(output)).toHaveLength(2);
  expect(output).toEndWith('\n0\n');
});

test('a worker that has stopped still has its log', async () => {
  expect((await worker.end('SIGTERM')).code).toBe(0);
  const { code, stdout } = await logs('-n', '1');
  expect(code).toBe(0);
  expect(stdout).toContain('Stopped');
}, 30_000);

describe('variables', () => {
  test('LOG_FORMAT=json with LOG_LEVEL=Warning writes records, and only those', async () => {
    const quiet = await startWorker('quiet', { LOG_FORMAT: 'json', LOG_LEVEL: 'Warning' });
    expect((await quiet.end('SIGTERM')).code).toBe(0);
    const records = linesOf(logText('quiet')).map((line) => JSON.parse(line) as { level: number; msg: string });
    // The first line of a file says what somebody who gets only this file has to know.
    expect(records[0]?.msg).toBe('The worker is starting');
    expect(records.slice(1).filter(({ level }) => level < 40)).toEqual([]);
    expect(quiet.output()).not.toContain('Ready');
  }, 60_000);

  test('KUBIYA_DEBUG=true shows what DEBUG shows; LOG_LEVEL=debug too', async () => {
    const debug = await startWorker('debug', { KUBIYA_DEBUG: 'true' });
    expect((await debug.end('SIGTERM')).code).toBe(0);
    expect(logText('debug')).toContain(' [DEBUG] ');
  }, 60_000);

  test('a level that does not exist is said before anything starts', async () => {
    const { code, stderr } = await runCommand(['worker', 'start', '--queue-id', 'x'], {
      home,
      environment: { LOG_LEVEL: 'loud' },
    });
    expect([code, stderr.includes('LOG_LEVEL')]).toEqual([6, true]);
  });
});
