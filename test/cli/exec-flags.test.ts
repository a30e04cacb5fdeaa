// What the flags of `kubiya exec` put into the request, teams, several queues, and answers that have to be JSON.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chunk, defaultQueue, done, executionId } from '../support/scripted-control-plane.ts';
import { runCli } from './run-cli.ts';
import { exec, start } from './scripted-exec.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'kubiya-flags-'));
  writeFileSync(
    join(directory, 'vars.env'),
    '# comment\n\nexport A=from file\nB="two\\nlines" # why\nC=\'$raw\\n\'\nD= bare # comment\n',
  );
  writeFileSync(join(directory, 'bad.env'), 'A=1\nnot a variable\n');
  writeFileSync(join(directory, 'broken.json'), '{"$ref": "#/nowhere"}');
  writeFileSync(join(directory, 'schema.json'), '{"type": "object", "required": ["ok"]}');
});
afterAll(() => rmSync(directory, { recursive: true }));

test('every flag of a request arrives', async () => {
  const plane = await start({ steps: [done('completed')] });
  const words =
    '--env A=flag --env X=1=2 --env-file vars.env --secret DB_PASSWORD --secret TOKEN --skill-dir skills --max-cost 0.5 ' +
    '--parent-execution p-1 --priority high --output-schema schema.json';
  await exec(plane, ['agent', 'default', 'x', ...words.split(' ')], { cwd: directory });
  expect(plane.requestsTo('POST', /execute$/)[0]?.body).toEqual({
    prompt: 'x',
    stream: true,
    worker_queue_id: defaultQueue.id,
    execution_environment: {
      env_vars: { A: 'flag', B: 'two\nlines', C: '$raw\\n', D: 'bare', X: '1=2' },
      secrets: ['DB_PASSWORD', 'TOKEN'],
      skill_dirs: [join(directory, 'skills')],
    },
    parent_execution_id: 'p-1',
    priority: 'high',
    limits: { max_cost_usd: 0.5 },
    output_schema: { type: 'object', required: ['ok'] },
  });
});

test.each([
  [['--env', 'NOVALUE'], '--env "NOVALUE" has no value'],
  [['--env', '1A=x'], '--env "1A" is no name of a variable'],
  [['--env-file', 'bad.env'], 'line 2 of'],
  [['--env-file', 'missing.env'], 'cannot be read'],
  [['--output-schema', 'vars.env'], 'is not JSON'],
  [['--output-schema', 'broken.json'], 'the output schema cannot be used'],
  [['--max-cost', '-1'], '--max-cost must be an amount of US dollars'],
  [['--max-cost', 'lots'], '--max-cost must be an amount of US dollars'],
  [['--priority', 'urgent'], '--priority must be one of low, medium, high, critical'],
  [['--queue', 'a,,b'], '--queue has an empty name in its list'],
])('%j is a usage error that shows no value, and nothing is started', async (words, message) => {
  const plane = await start({});
  const result = await exec(plane, ['agent', 'default', 'x', ...words], { cwd: directory });
  expect(result).toMatchObject({ code: 2, stdout: '' });
  expect(result.stderr).toContain(message);
  expect(plane.requestsTo('POST', /execute$/)).toEqual([]);
});

test('a team is found by its name and executed', async () => {
  const teamId = 'dddddddd-0000-4000-8000-000000000001';
  const plane = await start({
    steps: [done('completed')],
    override: ({ path, method }) => {
      if (path.startsWith('/api/v1/teams?')) return { status: 200, body: [{ id: teamId, name: 'incident' }] };
      const isStart = method === 'POST' && path === `/api/v1/teams/${teamId}/execute`;
      return isStart ? { status: 200, body: { execution_id: executionId, status: 'PENDING' } } : undefined;
    },
  });
  const result = await exec(plane, ['team', 'incident', 'why?']);
  expect(result.code).toBe(0);
  expect(plane.requestsTo('POST', `/api/v1/teams/${teamId}/execute`)).toHaveLength(1);
  expect((await exec(plane, ['team', 'incidnet', 'why?'])).stderr).toBe(
    'error: there is no team "incidnet"\nhint: did you mean incident?\n',
  );
});

describe('--output-schema', () => {
  const run = async (response: string, ...words: string[]) => {
    const plane = await start({ steps: [chunk('thinking aloud '), done('completed')], final: { response } });
    return await exec(plane, ['agent', 'default', 'x', '--output-schema', 'schema.json', ...words], { cwd: directory });
  };
  test('prints the JSON alone', async () => {
    expect(await run('```json\n{ "ok": true }\n```')).toMatchObject({ code: 0, stdout: '{ "ok": true }\n' });
    expect(await run('{"ok": 1}', '--no-stream')).toMatchObject({ code: 0, stdout: '{"ok": 1}\n' });
  });
  test('an answer that is none is exit 1 with nothing on stdout', async () => {
    const result = await run('I am done');
    expect(result).toMatchObject({ code: 1, stdout: '' });
    expect(result.stderr).toContain('error: the answer does not match the schema: it is not one JSON value');
    const other = await run('{"no": 1}');
    expect(other).toMatchObject({ code: 1, stdout: '' });
    expect(other.stderr).toContain('does not have required property "ok"');
  });
});

describe('several queues', () => {
  const queues = ['eu', 'us'].map((name) => ({ ...defaultQueue, id: `id-${name}`, name }));
  /** Each queue has an execution of its own. */
  const planeOf = (ends: Readonly<Record<string, string>>) =>
    start({
      queues,
      override: ({ path, method, body }) => {
        if (method === 'POST' && path.endsWith('/execute')) {
          const queue = (body as { worker_queue_id: string }).worker_queue_id;
          return { status: 200, body: { execution_id: `on-${queue}`, status: 'PENDING' } };
        }
        const id = /^\/api\/v1\/executions\/on-id-(\w+)/.exec(path)?.[1];
        if (id === undefined) return undefined;
        const status = ends[id] ?? 'completed';
        if (!path.endsWith('/stream'))
          return { status: 200, body: { id, status, prompt: 'x', response: `from ${id}\nline 2` } };
        const data = JSON.stringify({ execution_id: `on-id-${id}`, status });
        return {
          status: 200,
          headers: { 'content-type': 'text/event-stream' },
          body: `event: done\ndata: ${data}\n\n`,
        };
      },
    });

  test('run side by side, each line under the name of its queue', async () => {
    const plane = await planeOf({});
    const result = await exec(plane, ['agent', 'default', 'x', '--queue', 'eu,us', '--idempotency-key', 'k']);
    expect(result.code).toBe(0);
    expect(result.stdout.split('\n').toSorted()).toEqual([
      '',
      '[eu] from eu',
      '[eu] line 2',
      '[us] from us',
      '[us] line 2',
    ]);
    expect(result.stderr).toMatch(/^\[(eu|us)\] completed in /);
    const keys = plane.requestsTo('POST', /execute$/).map(({ headers }) => headers['idempotency-key']);
    expect(new Set(keys)).toEqual(new Set(['k/eu', 'k/us']));
  });

  test('the exit code is the worst, JSON tells them apart', async () => {
    const words = ['agent', 'default', 'x', '--queue', 'eu,us'];
    const result = await exec(await planeOf({ us: 'failed' }), [...words, '-o', 'json']);
    expect(result.code).toBe(1);
    const list = JSON.parse(result.stdout) as { queue: string; status: string }[];
    expect(Object.fromEntries(list.map(({ queue, status }) => [queue, status]))).toEqual({
      eu: 'completed',
      us: 'failed',
    });
    const stream = await exec(await planeOf({}), [...words, '--stream-format', 'json']);
    const lines = stream.stdout.trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { queue: string }).queue).toSorted()).toContain('us');
  });
});

test('exec team and the flags are in the help', async () => {
  const { stdout } = await runCli(['exec', '--help']);
  for (const flag of ['--plan-file', '--save-plan', '--env-file', '--skill-dir', '--max-cost', '--output-schema'])
    expect(stdout).toContain(flag);
});
