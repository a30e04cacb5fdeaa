// Plans of `kubiya exec`: made by a scripted planner, kept in files, taken from files and addresses, and refused where nobody can be asked.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { planUrlOf } from '../../src/cli/exec/plan-source.ts';
import type { SavedPlan } from '../../src/protocol/planner.ts';
import { chunk, done, executionId } from '../support/scripted-control-plane.ts';
import { against, runCli } from './run-cli.ts';
import { start } from './scripted-exec.ts';

const agents = [
  { id: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'default' },
  { id: 'aaaaaaaa-0000-4000-8000-000000000002', name: 'deployer', description: 'rolls out services with helm' },
];
const deployerId = agents[1]?.id ?? '';
const plan = {
  plan_id: 'p-1',
  title: 'Roll it out',
  summary: 'NEVER RUN THE SUMMARY',
  recommended_execution: { entity_type: 'agent', entity_id: deployerId, entity_name: 'deployer', reasoning: 'helm' },
};
const frame = (event: string, data: unknown): string => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;

let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'kubiya-plan-'));
});
afterAll(() => rmSync(home, { recursive: true }));

/** What its planner answers; undefined has none. */
const planeOf = (stream: string | undefined) =>
  start({
    agents,
    steps: [chunk('rolled out'), done('completed')],
    override: ({ path }) => {
      if (path !== '/api/v1/tasks/plan/stream' || stream === undefined) return undefined;
      return { status: 200, headers: { 'content-type': 'text/event-stream' }, body: stream };
    },
  });
type Plane = Awaited<ReturnType<typeof planeOf>>;

const run = async (plane: Plane, words: readonly string[]) =>
  await runCli(['exec', ...words], {
    environment: { ...against(plane), KUBIYA_HOME: join(home, '.kubiya') },
    cwd: home,
  });
const started = (plane: Plane) => plane.requestsTo('POST', /execute$/);
const savedPlan = (path: string): SavedPlan => JSON.parse(readFileSync(join(home, path), 'utf8')) as SavedPlan;

const good =
  frame('progress', { message: 'looking', progress: 10 }) +
  frame('tool_call', { tool_name: 'x' }) +
  frame('thinking', { content: 'helm?' }) +
  // As the cloud sends some: the type in the data.
  `data: ${JSON.stringify({ type: 'complete', plan })}\n\ndata: [DONE]\n\n`;

describe('a plan', () => {
  test('is shown, kept owner-only, and the words of the person are run by whom it names', async () => {
    const plane = await planeOf(good);
    const result = await run(plane, ['deploy it', '--yes', '--save-plan', 'copy.json', '--model', 'm/1']);
    expect(result).toMatchObject({ code: 0, stdout: 'rolled out\n' });
    expect(result.stderr).toStartWith('Plan: Roll it out\n');
    expect(plane.requestsTo('POST', '/api/v1/tasks/plan/stream')[0]?.body).toMatchObject({
      description: 'deploy it',
      quick_mode: true,
      model_id: 'm/1',
      agents: [{ name: 'default' }, { name: 'deployer', description: 'rolls out services with helm' }],
    });
    expect(started(plane)).toMatchObject([
      { path: `/api/v1/agents/${deployerId}/execute`, body: { prompt: 'deploy it' } },
    ]);
    const file = '.kubiya/plans/p-1.json';
    expect(statSync(join(home, file)).mode & 0o777).toBe(0o600);
    expect(statSync(join(home, '.kubiya/plans')).mode & 0o777).toBe(0o700);
    expect(savedPlan(file)).toMatchObject({
      plan: { title: 'Roll it out' },
      prompt: 'deploy it',
      approved: true,
      execution_id: executionId,
      executed_at: expect.any(String),
    });
    expect(savedPlan('copy.json')).toMatchObject({ approved: true, execution_id: executionId });
  });

  test('needs --yes where nobody can be asked, before a model is asked', async () => {
    const plane = await planeOf(good);
    const result = await run(plane, ['deploy it']);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toContain('hint: add --yes, or name who does it');
    expect(plane.requests).toEqual([]);
  });

  test('--plan-only starts nothing and prints it in any format', async () => {
    const plane = await planeOf(good);
    const [text, json, yaml] = await Promise.all([
      run(plane, ['x', '--plan-only']),
      run(plane, ['x', '--plan-only', '-o', 'json']),
      run(plane, ['x', '--plan-only', '-o', 'yaml', '--plan-mode', 'quick']),
    ]);
    expect(text.stdout).toContain('agent      deployer\nbecause    helm\n');
    expect(JSON.parse(json.stdout)).toMatchObject(plan);
    expect(yaml.stdout).toContain('title: Roll it out');
    expect([text.code, json.code, yaml.code]).toEqual([0, 0, 0]);
    expect(started(plane)).toEqual([]);
    const modes = plane.requestsTo('POST', /stream$/).map(({ body }) => (body as { quick_mode: boolean }).quick_mode);
    expect(modes.filter((isQuick) => isQuick)).toHaveLength(1);
  });

  test('of a private control plane is nothing to make', async () => {
    const environment = { KUBIYA_HOME: join(home, '.kubiya') };
    const result = await runCli(['exec', '--local', '--plan-only', 'x', '--model', 'kubiya/offline'], { environment });
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toContain('there is nothing to plan');
  });

  test('is a line of the JSON stream', async () => {
    const { stdout } = await run(await planeOf(good), ['x', '--yes', '--stream-format', 'json']);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.map(({ type }) => type)).toEqual([
      'progress',
      'thinking',
      'plan',
      'connected',
      'message_chunk',
      'done',
    ]);
    expect(lines[0]).toMatchObject({ progress: { message: 'looking', percent: 10 } });
    expect(lines[2]).toMatchObject({ plan: { plan_id: 'p-1' } });
  });

  test.each([
    ['no planner', undefined, 'Not Found'],
    ['one that fails', frame('error', { error: 'out of credit' }), 'out of credit'],
    ['one that ends early', frame('progress', { message: 'x', progress: 1 }), 'the planner ended without a plan'],
    ['a plan that is none', frame('complete', { plan: { title: 1 } }), 'a plan that cannot be read'],
  ])('%s: the rules choose, and say so', async (_, stream, reason) => {
    const plane = await planeOf(stream);
    const result = await run(plane, ['upgrade with helm', '--yes']);
    expect(result.code).toBe(0);
    expect(result.stderr).toContain(reason);
    expect(result.stderr).toContain('so rules choose');
    expect(started(plane)[0]?.path).toBe(`/api/v1/agents/${deployerId}/execute`);
  });

  test('for an agent that is not there is refused, by its name it is found', async () => {
    const of = (entity: Record<string, unknown>) =>
      frame('complete', { plan: { ...plan, recommended_execution: { entity_type: 'agent', ...entity } } });
    const gone = await run(await planeOf(of({ entity_id: 'x', entity_name: 'nobody' })), ['x', '--yes']);
    expect(gone).toMatchObject({ code: 4, stdout: '' });
    expect(gone.stderr).toContain('there is no agent "nobody"');
    const named = await planeOf(of({ entity_id: 'of another server', entity_name: 'deployer' }));
    expect((await run(named, ['x', '--yes'])).code).toBe(0);
    expect(started(named)[0]?.path).toContain(deployerId);
  });

  test('an id that leads out of its folder is kept nowhere', async () => {
    const evil = frame('complete', { plan: { ...plan, plan_id: '../../evil' } });
    expect((await run(await planeOf(evil), ['x', '--yes'])).code).toBe(0);
    expect(existsSync(join(home, 'evil.json'))).toBe(false);
    expect(readdirSync(join(home, '.kubiya/plans')).every((name) => /^[\w-]+\.json$/.test(name))).toBe(true);
  });
});

describe('--plan-file', () => {
  const saved = { plan, prompt: 'the words of the person', approved: true };
  test('runs a file, and notes in it what became of it', async () => {
    writeFileSync(join(home, 'plan.json'), JSON.stringify(saved));
    const plane = await planeOf(undefined);
    expect(await run(plane, ['--plan-file', 'plan.json', '--yes'])).toMatchObject({ code: 0, stdout: 'rolled out\n' });
    expect(started(plane)[0]?.body).toMatchObject({ prompt: 'the words of the person' });
    expect(savedPlan('plan.json')).toMatchObject({ approved: true, execution_id: executionId });
    const again = await run(plane, ['--plan-file', 'plan.json', '--yes']);
    expect(again.stderr).toContain('this plan was executed before');
  });

  test('an approval that stands in it is not one', async () => {
    const plane = await planeOf(undefined);
    writeFileSync(join(home, 'approved.json'), JSON.stringify(saved));
    expect(await run(plane, ['--plan-file', 'approved.json'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('running a plan needs a confirmation'),
    });
    expect(started(plane)).toEqual([]);
  });

  test('an address is fetched, within limits', async () => {
    const plane = await planeOf(undefined);
    const server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: ({ url, headers }) => {
        if (headers.has('authorization')) return new Response('a key came along', { status: 500 });
        const { pathname } = new URL(url);
        if (pathname === '/plan.json') return Response.json(saved);
        return pathname === '/big' ? new Response('x'.repeat(3_000_000)) : new Response('', { status: 404 });
      },
    });
    try {
      const of = (path: string) => run(plane, ['--plan-file', `${server.url.origin}${path}`, '--yes']);
      expect((await of('/plan.json')).code).toBe(0);
      expect(await of('/nothing')).toMatchObject({ code: 5, stderr: expect.stringContaining('answered 404') });
      expect(await of('/big')).toMatchObject({ code: 5, stderr: expect.stringContaining('larger than') });
      const insecure = await run(plane, ['--plan-file', 'http://plans.example/x.json', '--yes']);
      expect(insecure).toMatchObject({ code: 2, stderr: expect.stringContaining('unencrypted') });
    } finally {
      await server.stop(true);
    }
    expect(started(plane)).toHaveLength(1);
  });

  test.each([
    ['missing.json', 'cannot be read'],
    ['garbage.json', 'is no saved plan: it is not JSON'],
    ['half.json', 'is no saved plan: prompt is missing or wrong'],
  ])('%s is a usage error', async (file, message) => {
    writeFileSync(join(home, 'garbage.json'), 'no');
    writeFileSync(join(home, 'half.json'), JSON.stringify({ plan }));
    const result = await run(await planeOf(undefined), ['--plan-file', file, '--yes']);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(message);
  });

  test('files of a repository', () => {
    const raw = 'https://raw.githubusercontent.com';
    expect(planUrlOf('kubiya/plans//deploy/a b.json')).toBe(`${raw}/kubiya/plans/HEAD/deploy/a%20b.json`);
    expect(planUrlOf('kubiya/plans//x.json@release/1')).toBe(`${raw}/kubiya/plans/release/1/x.json`);
    for (const path of ['x.json', './a/b.json', '/a/b//c', 'a/b//../../c', 'a/b/c//d'])
      expect(planUrlOf(path)).toBeUndefined();
  });
});
