// Tools that users declare: custom commands and workflows, whose arguments stay single words whatever a model writes.
import { describe, expect, test } from 'bun:test';
import { existsSync, readFileSync } from 'node:fs';
import { createToolset } from '../../../src/tools/toolset.ts';
import { createBench, skill } from './support.ts';

const text = { type: 'string' };
const declare = (command: readonly string[], rest: Record<string, unknown> = {}) => ({
  name: 'mine',
  description: 'A tool of my own',
  command,
  parameters: { type: 'object', properties: { x: text, list: { type: 'array', items: text }, n: { type: 'integer' } } },
  ...rest,
});

async function use(declared: object, given: object, configuration: Record<string, unknown> = {}) {
  await using bench = createBench();
  const toolset = createToolset([skill('custom', { tools: [declared], ...configuration })]);
  const tool = toolset.tools.get('mine');
  if (tool === undefined) throw new Error(toolset.problems.join('; '));
  const result = await tool.run(JSON.stringify(given), bench.context());
  return { ...result, wasHit: existsSync(bench.path('hit')) };
}

const problemsOf = (type: string, configuration: Record<string, unknown>): string =>
  createToolset([skill(type, configuration)]).problems.join('\n');

const show = ['/usr/bin/printf', '[%s]'];

describe('custom', () => {
  test('[custom.tools] a value is one word, a list several, one left out none', async () => {
    const command = [...show, 'a={{x}}', '{{x}}', '{{list}}', 'end'];
    expect((await use(declare(command), { x: 'one two', list: ['3 4', '5'] })).output).toBe(
      '[a=one two][one two][3 4][5][end]\n[exit code 0]',
    );
    expect((await use(declare(command), {})).output).toBe('[a=][end]\n[exit code 0]');
  });

  test.each([
    '$(touch hit)',
    '`touch hit`',
    '; touch hit;',
    '" && touch hit',
    "' || touch hit #",
    '\n touch hit',
    '| touch hit',
    '{{n}}',
  ])('%p is text', async (x) => {
    const direct = await use(declare([...show, '{{x}}']), { x });
    expect(direct).toMatchObject({ status: 'success', wasHit: false });
    expect(direct.output).toBe(`[${x}]\n[exit code 0]`);
    const shell = await use(declare(['sh', '-c', 'printf "[%s]" "$ARG_X" "$1"', 'sh', '{{x}}']), { x });
    expect(shell).toMatchObject({ output: `[${x}][${x}]\n[exit code 0]`, wasHit: false });
  });

  test('no value becomes an option, unless two dashes stand before it', async () => {
    for (const command of [
      ['ls', '{{x}}'],
      ['ls', '{{list}}'],
      ['ls', '{{x}}{{n}}'],
    ]) {
      const result = await use(declare(command), { x: '--help', list: ['a', '-l'] });
      if (command[1] === '{{list}}') expect(result.output).toContain('begin with a dash');
      expect(result.status).toBe('failed');
      expect(result.output).toContain('begin with a dash');
    }
    expect((await use(declare(['ls', '--color={{x}}']), { x: '-x' })).output).toContain('--color');
    expect((await use(declare([...show, '--', '{{x}}']), { x: '--help' })).output).toContain('--help');
    const both = await use(declare([...show, '--', '{{x}}', '{{list}}']), { x: '-a', list: ['-b'] });
    expect(both.output).toBe('[--][-a][-b]\n[exit code 0]');
    // The dashes of env are not those of ls.
    const inner = await use(declare(['env', '--', 'ls', '{{x}}']), { x: '--version' });
    expect(inner.output).toContain('begin with a dash');
  });

  test.each([
    [['sh', '-c', 'echo {{x}}']],
    [['/bin/bash', '-ec', '{{x}}']],
    [['bash', '{{x}}']],
    [['python3', '-c', 'print("{{x}}")']],
    [['python3', '-c{{x}}']],
    [['node', '--eval', '{{x}}']],
    [['node', '--eval={{x}}']],
    [['perl', '-ne', '{{x}}']],
    [['awk', '{{x}}', 'file']],
    [['sed', '-n', '{{x}}']],
    [['env', '{{x}}']],
    [['env', 'A=1', 'sh', '-c', '{{x}}']],
    [['timeout', '5', 'bash', '-c', '{{x}}']],
    [['ssh', 'host', 'ls {{x}}']],
    [['watch', '-g', '{{x}}']],
    [['parallel', 'echo', ':::', '{{x}}']],
    [['find', '.', '-exec', '{{x}}']],
    [['git', '-c', '{{x}}', 'status']],
    [['{{x}}', 'a']],
    [['']],
    [['ls', '{{unknown}}']],
  ])('%p is no tool', (command) => {
    const toolset = createToolset([skill('custom', { tools: [declare(command)] })]);
    expect(toolset.tools.has('mine')).toBe(false);
    expect(toolset.problems[0]).toStartWith('Tool mine of skill custom is not available: ');
  });

  test.each([
    { command: 'ls' },
    { command: [] },
    { name: 'bad name', command: ['ls'] },
    { name: '', command: ['ls'] },
    { description: ' ', command: ['ls'] },
    { command: ['ls'], parameters: { properties: { x: { type: 'object' } } } },
    { command: ['ls'], parameters: { properties: { x: { type: 'string', format: 'email' } } } },
    { command: ['ls'], parameters: { properties: { 'x y': text } } },
    { command: ['ls'], timeout: 0 },
    { command: ['ls'], effect: 'none' },
    { command: ['ls'], shell: true },
    { command: ['ls'], environment_variables: { 'A=B': '1' } },
  ])('a declaration with %p is refused as a whole', (changes) => {
    const toolset = createToolset([skill('custom', { tools: [declare(['ls'], changes)] })]);
    expect(toolset.tools.size).toBe(0);
    expect(toolset.problems).toHaveLength(1);
  });

  test('parameters that cannot hold are problems', () => {
    const withParameters = (parameters: object) => problemsOf('custom', { tools: [declare(['ls'], { parameters })] });
    expect(withParameters({ properties: {}, required: ['x'] })).toContain('x is required but not declared');
    expect(withParameters({ properties: { x: { type: 'array' } } })).toContain('an array needs items');
    expect(withParameters({ properties: { x: { type: 'string', pattern: '(' } } })).toContain('no regular expression');
    expect(withParameters({ properties: { x: { type: 'integer', default: 'a' } } })).toContain('default does not fit');
  });

  test('arguments are what was declared', async () => {
    const properties = {
      kind: { type: 'string', enum: ['a', 'b'] },
      n: { type: 'integer', minimum: 1, maximum: 3 },
      word: { type: 'string', pattern: '^[a-z]+$', maxLength: 3 },
      on: { type: 'boolean', default: true },
    };
    const declared = declare([...show, '{{kind}}', '{{n}}', '{{on}}'], {
      parameters: { properties, required: ['kind'] },
    });
    expect((await use(declared, { kind: 'a', n: 2 })).output).toBe('[a][2][true]\n[exit code 0]');
    for (const bad of [
      {},
      { kind: 'c' },
      { n: 1 },
      { kind: 'a', n: 4 },
      { kind: 'a', n: 1.5 },
      { kind: 'a', n: '1' },
    ]) {
      expect((await use(declared, bad)).output).toContain('Wrong arguments for mine');
    }
    for (const bad of [{ word: 'A' }, { word: 'abcd' }, { word: 'a\nb' }, { other: 1 }, { on: 'yes' }]) {
      expect((await use(declared, { kind: 'a', ...bad })).status).toBe('failed');
    }
  });

  test('time, place, variables and effect of a declaration', async () => {
    const rest = { timeout: 1, working_directory: '/', environment_variables: { MINE: 'yes' }, effect: 'read_only' };
    const declared = declare(['sh', '-c', 'pwd; echo $MINE; exec sleep 20'], rest);
    const result = await use(declared, {});
    expect(result.error).toBe('Stopped at its time limit of 1 s');
    expect(result.output).toStartWith('/\nyes\n');
    expect(
      createToolset([skill('custom', { tools: [declared] })])
        .tools.get('mine')
        ?.effect('{}'),
    ).toBe('read_only');
    expect(
      createToolset([skill('custom', { tools: [declare(['ls'])] })])
        .tools.get('mine')
        ?.effect('{}'),
    ).toBe('side_effecting');
  });

  test('[custom.max_output_size] cuts the output', async () => {
    const declared = declare(['seq', '100000']);
    const result = await use(declared, {}, { max_output_size: '10kB' });
    expect(Buffer.byteLength(result.output)).toBeLessThanOrEqual(10 * 1024);
    expect(result.originalBytes).toBeGreaterThan(500_000);
  });
});

describe('workflow_executor', () => {
  const step = (name: string, command: readonly string[], rest: object = {}) => ({ name, command, ...rest });
  const deploy = {
    name: 'deploy',
    description: 'Brings it out.',
    parameters: { properties: { version: { type: 'string', pattern: '^[0-9.]+$' } }, required: ['version'] },
    steps: [
      step('build', ['sh', '-c', 'echo built "$ARG_VERSION" | tee built']),
      step('check', ['sh', '-c', 'echo "before: $PREVIOUS_OUTPUT"']),
      step('ship', ['touch', 'shipped-{{version}}']),
    ],
  };
  async function run(workflow: typeof deploy, given: object, configuration: Record<string, unknown> = {}) {
    await using bench = createBench();
    const toolset = createToolset([skill('workflow_executor', { workflows: [workflow], ...configuration })]);
    const tool = toolset.tools.get('run_deploy');
    if (tool === undefined) throw new Error(toolset.problems.join('; '));
    const result = await tool.run(JSON.stringify(given), bench.context());
    const built = existsSync(bench.path('built')) ? readFileSync(bench.path('built'), 'utf8') : null;
    return { ...result, built, live: bench.live.join(''), isShipped: existsSync(bench.path('shipped-1.2')) };
  }

  test('[workflow_executor.workflows] [run_<workflow>] runs the steps in order and reports each', async () => {
    const result = await run(deploy, { version: '1.2' });
    expect(result).toMatchObject({ status: 'success', built: 'built 1.2\n', isShipped: true });
    expect(result.output).toBe(
      '== step 1 of 3: build\nbuilt 1.2\n[exit code 0]\n' +
        '== step 2 of 3: check\nbefore: built 1.2\n[exit code 0]\n' +
        '== step 3 of 3: ship\n[exit code 0]',
    );
    expect(result.live).toContain('== step 3 of 3: ship');
  });

  test('a step that fails ends it, unless it says otherwise', async () => {
    const failing = (rest: object) => ({ ...deploy, steps: [step('bad', ['false'], rest), ...deploy.steps] });
    const ended = await run(failing({}), { version: '1.2' });
    expect(ended).toMatchObject({
      status: 'failed',
      error: 'Step bad of the workflow deploy failed',
      isShipped: false,
    });
    expect(ended.output).toContain('== step 4 of 4: ship\n[not run]');
    expect(await run(failing({ continue_on_error: true }), { version: '1.2' })).toMatchObject({
      status: 'success',
      isShipped: true,
    });
  });

  test('[workflow_executor.blocked_commands] [workflow_executor.allowed_commands] are judged before the first step', async () => {
    for (const configuration of [
      { blocked_commands: ['touch'] },
      { allowed_commands: ['sh', 'echo', 'tee'] },
      { blocked_commands: ['tee'] },
    ]) {
      const result = await run(deploy, { version: '1.2' }, configuration);
      expect(result).toMatchObject({ status: 'failed', built: null, isShipped: false });
      expect(result.output).toStartWith('Nothing was run. Step ');
    }
    const allowed = { allowed_commands: ['sh', 'echo', 'tee', 'touch'] };
    expect(await run(deploy, { version: '1.2' }, allowed)).toMatchObject({ status: 'success' });
  });

  test('[workflow_executor.timeout] is for all steps, and a step may have its own', async () => {
    const slow = { ...deploy, steps: [step('slow', ['sleep', '20']), ...deploy.steps] };
    const all = await run(slow, { version: '1.2' }, { timeout: 1 });
    expect(all).toMatchObject({ status: 'failed', error: 'Stopped at its time limit of 1 s', isShipped: false });
    const one = { ...deploy, steps: [step('slow', ['sleep', '20'], { timeout: 1 }), ...deploy.steps] };
    const own = await run(one, { version: '1.2' });
    expect(own).toMatchObject({ status: 'failed', error: 'Step slow of the workflow deploy failed', isShipped: false });
    expect(own.output).toContain("stopped at the step's limit of 1 s");
  });

  test.each([{}, { version: '1.2; touch hit' }, { version: '1', extra: 1 }, { version: 1 }])(
    '%p is refused',
    async (given) => {
      expect(await run(deploy, given)).toMatchObject({ status: 'failed', built: null });
    },
  );

  test('a step that would run text of the model is no workflow', () => {
    const unsafe = { ...deploy, steps: [step('x', ['sh', '-c', 'echo {{version}}'])] };
    expect(problemsOf('workflow_executor', { workflows: [unsafe] })).toContain('step x: a parameter would become part');
    expect(createToolset([skill('workflow_executor', { workflows: [{ ...deploy, steps: [] }] })]).tools.size).toBe(0);
  });

  test('[list_all_workflows] [get_workflow_info] show them without their variables', async () => {
    await using bench = createBench();
    const secret = { ...deploy, steps: [step('x', ['true'], { environment_variables: { TOKEN: 'hidden' } })] };
    const { tools } = createToolset([skill('workflow_executor', { workflows: [secret] })]);
    const ask = async (name: string, given: object) =>
      (await tools.get(name)?.run(JSON.stringify(given), bench.context()))?.output ?? '';
    expect(await ask('list_all_workflows', {})).toBe('deploy: Brings it out. [tool run_deploy]');
    const info = await ask('get_workflow_info', { workflow_name: 'deploy' });
    expect(JSON.parse(info)).toMatchObject({
      name: 'deploy',
      tool: 'run_deploy',
      steps: [{ name: 'x', command: ['true'] }],
    });
    expect(info).not.toContain('hidden');
    expect(await ask('get_workflow_info', { workflow_name: 'x' })).toContain('there are deploy');
  });
});
