// The job commands of the built binary with a real server and worker: made, run at its times, triggered, followed, kept through kill -9.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHmac } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Job, JobExecution } from '../../src/protocol/jobs.ts';
import { createHome, type Home } from '../support/binary.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { type CommandResult, runCommand } from '../support/run-binary.ts';
import { until } from '../support/until.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';

let home: Home;
let server: LocalServer;
let worker: WorkerProcess;
const port = 21_000 + Math.floor(Math.random() * 8_000);
beforeAll(async () => {
  home = createHome();
  server = await startLocalServer({ home, port });
  worker = await startWorkerProcess({ home, queue: 'default' });
}, 90_000);
afterAll(async () => {
  await worker.process.end('SIGTERM');
  await server.stop();
  home.remove();
}, 60_000);

const job = (words: readonly string[], stdin?: string): Promise<CommandResult> =>
  runCommand(['job', ...words], { home, ...(stdin === undefined ? {} : { stdin }) });
const jsonOf = async <T>(words: readonly string[]): Promise<T> => {
  const { code, stdout, stderr } = await job([...words, '--json']);
  if (code !== 0) throw new Error(`job ${words.join(' ')} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as T;
};
const offline = ['--model', 'kubiya/offline'];
const historyOf = (name: string): Promise<JobExecution[]> => jsonOf<JobExecution[]>(['history', name]);

describe('a job', () => {
  test('runs at its times, also after the server was killed, until it is disabled', async () => {
    const created = await job(
      ['create', '--name', 'tick', '--every', '1s', '--prompt', '-', ...offline],
      'run `echo tick`',
    );
    expect(created).toMatchObject({ code: 0, stderr: '' });
    expect(created.stdout).toMatch(/^interval_seconds\s+1$/m);
    const completed = async (): Promise<JobExecution[]> =>
      (await historyOf('tick')).filter(({ status }) => status === 'completed');
    await until(async () => (await completed()).length >= 2, { limitMs: 20_000, what: () => 'two runs of tick' });
    await server.process.end('SIGKILL');
    server = await startLocalServer({ home, port });
    const before = (await historyOf('tick')).length;
    await until(async () => (await completed()).length > before, {
      limitMs: 30_000,
      what: () => 'a run after kill -9',
    });
    const listed = await job(['list']);
    expect(listed.stdout).toMatch(/^NAME +TRIGGER +STATE +RUNS BY +NEXT +LAST +ID$/m);
    expect(listed.stdout).toMatch(/^tick +every 1s +enabled +default +20\S+Z +(completed|running|pending) /m);
    expect(await job(['disable', 'tick'])).toMatchObject({ code: 0, stderr: 'the job tick is disabled\n' });
    expect((await job(['list'])).stdout).toMatch(/^tick +every 1s +disabled +default +- /m);
    const atRest = await historyOf('tick');
    await Bun.sleep(1_500);
    expect((await historyOf('tick')).length - atRest.length).toBeLessThanOrEqual(1);
    expect(new Set(atRest.map(({ execution_id: id }) => id)).size).toBe(atRest.length);
  }, 90_000);

  test('is triggered and followed; the exit code is that of the run', async () => {
    writeFileSync(join(home.directory, 'prompt.md'), 'run `echo {{.body.who}}`\n');
    const { id } = await jsonOf<Job>([
      'create',
      '--name',
      'greet',
      '--prompt-file',
      'prompt.md',
      '--cwd',
      '.',
      ...offline,
    ]);
    const followed = await job(['trigger', 'greet', '--body', '{"who":"you"}', '--follow']);
    expect(followed).toMatchObject({ code: 0 });
    expect(followed.stdout).toContain('you');
    expect(followed.stderr).toContain('completed in');
    writeFileSync(join(home.directory, 'body.json'), '{"who":"them"}');
    const waited = await job(['trigger', id, '--body-file', 'body.json', '--wait', '--output', 'json']);
    expect(JSON.parse(waited.stdout)).toMatchObject({ status: 'completed' });
    const keyed = ['trigger', 'greet', '--body', '{"who":"x"}', '--idempotency-key', 'k'];
    const [first, second] = [await job(keyed), await job(keyed)];
    expect(first.stdout).toMatch(/^[0-9a-f-]{36}\n$/);
    expect(second.stdout).toBe(first.stdout);
    expect(await historyOf('greet')).toHaveLength(3);
    expect(await job(['trigger', 'greet'])).toMatchObject({
      code: 4,
      stdout: '',
      stderr:
        'error: The prompt names body.who, which was not sent\nhint: the prompt of the job names the fields that a body must have\n',
    });
    await jsonOf(['update', 'greet', '--cwd', '/nowhere/at/all']);
    const failed = await job(['trigger', 'greet', '--body', '{"who":"x"}', '--wait']);
    expect(failed.code).toBe(6);
    expect(failed.stderr).toContain('/nowhere/at/all');
  }, 60_000);

  test('has a webhook, whose secret is printed once and replaced', async () => {
    const created = await job([
      'create',
      '--name',
      'hook',
      '--webhook',
      '--prompt',
      'run `echo {{.body.who}}`',
      ...offline,
    ]);
    expect(created.stderr).toContain('the secret is shown this once');
    const secret = /^webhook_secret +(\S+)$/m.exec(created.stdout)?.[1] ?? '';
    const url = /^webhook_url +(\S+)$/m.exec(created.stdout)?.[1] ?? '';
    const send = async (key: string): Promise<number> => {
      const timestamp = String(Math.floor(Date.now() / 1000));
      const body = '{"who":"hook"}';
      const signature = `sha256=${createHmac('sha256', key).update(`${timestamp}.${body}`).digest('hex')}`;
      const headers = { 'X-Kubiya-Timestamp': timestamp, 'X-Kubiya-Signature': signature };
      return (await fetch(url, { method: 'POST', headers, body })).status;
    };
    expect(await send(secret)).toBe(202);
    await until(async () => (await historyOf('hook'))[0]?.status === 'completed', {
      limitMs: 15_000,
      what: () => 'the run',
    });
    expect((await job(['get', 'hook'])).stdout).not.toContain('webhook_secret');
    expect(await job(['rotate-secret', 'hook'])).toMatchObject({ code: 2 });
    const rotated = await jsonOf<Job>(['rotate-secret', 'hook', '--yes']);
    expect(await send(secret)).toBe(401);
    expect(await send(rotated.webhook_secret ?? '')).toBe(202);
  }, 60_000);

  test('is changed and deleted', async () => {
    await jsonOf([
      'create',
      '--name',
      'change',
      '--cron',
      '0 9 * * *',
      '--prompt',
      'x',
      '--timeout',
      '5m',
      '--disabled',
      '--env',
      'A=b',
      '--max-cost',
      '0.5',
    ]);
    const changed = await jsonOf<Job>([
      'update',
      'change',
      '--name',
      'changed',
      '--timezone',
      'Europe/Berlin',
      '--cwd',
      '/',
      '--overlap',
      'allow_all',
    ]);
    expect(changed).toMatchObject({
      name: 'changed',
      cron_schedule: '0 9 * * *',
      cron_timezone: 'Europe/Berlin',
      overlap_policy: 'allow_all',
      enabled: false,
      execution_environment: { timeout: 300, working_dir: '/', env_vars: { A: 'b' } },
      limits: { max_cost_usd: 0.5 },
    });
    expect(await jsonOf<Job>(['update', 'changed', '--manual'])).toMatchObject({
      trigger_type: 'manual',
      cron_schedule: null,
    });
    expect(await job(['delete', 'changed'])).toMatchObject({
      code: 2,
      stderr: 'error: deleting a job needs a confirmation\nhint: add --yes\n',
    });
    expect(await job(['delete', 'changed', '--yes'])).toMatchObject({
      code: 0,
      stderr: 'the job changed was deleted\n',
    });
    expect(await job(['get', 'changed'])).toMatchObject({ code: 4, stdout: '' });
  }, 60_000);
});

describe('what is refused', () => {
  test.each([
    [['create', '--name', 'x', '--cron', '0 9 * *', '--prompt', 'x'], '--cron has 4 fields instead of 5'],
    [
      ['create', '--name', 'x', '--cron', '0 9 * * *', '--timezone', 'Mars', '--prompt', 'x'],
      '--timezone is no IANA time zone',
    ],
    [
      ['create', '--name', 'x', '--cron', '0 9 * * *', '--every', '5m', '--prompt', 'x'],
      '--cron and --every exclude each other',
    ],
    [
      ['create', '--name', 'x', '--every', '5m', '--webhook', '--prompt', 'x'],
      '--every and --webhook exclude each other',
    ],
    [['create', '--name', 'x', '--every', '1ms', '--prompt', 'x'], '--every must be a duration'],
    [['create', '--name', 'x', '--every', '5m', '--timezone', 'UTC', '--prompt', 'x'], '--timezone is for --cron'],
    [
      ['create', '--name', 'x', '--agent', 'a', '--team', 'b', '--prompt', 'x'],
      '--agent and --team exclude each other',
    ],
    [['create', '--name', 'x', '--every', '5m'], 'the prompt is missing'],
    [['create', '--name', 'x', '--overlap', 'never', '--prompt', 'x'], '--overlap must be'],
    [['create', '--every', '5m', '--prompt', 'x'], '--name is missing'],
    [['update', 'tick'], 'nothing is to be changed'],
    [['update', 'tick', '--manual', '--webhook'], '--manual excludes'],
    [['trigger', 'tick', '--body', '{'], 'the body is not JSON'],
    [['trigger', 'tick', '--body-file', 'absent'], 'cannot be read'],
    [['history', 'tick', '--limit', '0'], '--limit must be'],
  ])('job %j', async (words, said) => {
    const { code, stdout, stderr } = await job(words);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(said);
  });

  test('what does not exist, and a name that is taken', async () => {
    for (const words of [
      ['get', 'nobody'],
      ['trigger', 'nobody'],
      ['history', 'nobody'],
      ['enable', 'nobody'],
    ])
      expect(await job(words)).toMatchObject({ code: 4, stdout: '' });
    for (const flag of ['--agent', '--team', '--queue'])
      expect((await job(['create', '--name', 'x', flag, 'nobody', '--prompt', 'x'])).code).toBe(4);
    await job(['create', '--name', 'taken', '--prompt', 'x']);
    const again = await job(['create', '--name', 'taken', '--prompt', 'x']);
    expect(again).toMatchObject({ code: 4, stderr: expect.stringContaining('kubiya job list') });
  }, 30_000);
});
