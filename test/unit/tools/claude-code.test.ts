// What the skills of an agent become for the `claude` program: never more than they allow.
import { expect, test } from 'bun:test';
import { chmodSync, writeFileSync } from 'node:fs';
import { claudeArguments, claudeServersOf, permissionsOf } from '../../../src/tools/claude-code/options.ts';
import { runClaude } from '../../../src/tools/claude-code/run.ts';
import { parseClaudeLine, resultText } from '../../../src/tools/claude-code/stream.ts';
import { readMcpServers } from '../../../src/tools/mcp/configuration.ts';
import { createBench } from './support.ts';

const rulesOf = (type: string, configuration: Record<string, unknown> = {}) =>
  permissionsOf([{ id: 'a', name: 'a', type, enabled: true, configuration }]);

test('without skills every tool of its own is taken away', () => {
  const { allowed, denied } = permissionsOf([]);
  expect(allowed).toEqual([]);
  expect(denied).toEqual(expect.arrayContaining(['Bash', 'Read', 'Glob', 'Grep', 'Write', 'Edit', 'WebFetch']));
});

test('a shell keeps its lists', () => {
  expect(rulesOf('shell').allowed).toContain('Bash');
  const listed = rulesOf('shell', { allowed_commands: ['git status'], blocked_commands: ['rm'] });
  expect(listed.allowed).toEqual(['Bash(git status:*)', 'BashOutput', 'KillShell']);
  expect(listed.denied).toContain('Bash(rm:*)');
  expect(listed.denied).not.toContain('Bash');
  expect(rulesOf('shell', { variant: 'safe_commands' }).denied.some((rule) => rule.startsWith('Bash('))).toBe(true);
});

test('files are those of the skill, for what it allows', () => {
  expect(rulesOf('file_system').allowed).toEqual(['Read(./**)', 'Glob', 'Grep', 'Write(./**)', 'Edit(./**)']);
  expect(rulesOf('file_system', { variant: 'full_access' }).allowed).toContain('Write');
  const reading = rulesOf('file_system', { variant: 'read_only', base_dir: '/data', allowed_paths: ['docs/../notes'] });
  expect(reading.allowed).toEqual(['Read(//data/**)', 'Read(./notes/**)', 'Glob', 'Grep']);
  expect(reading.denied).toEqual(expect.arrayContaining(['Write', 'Edit', 'Bash']));
  expect(rulesOf('file_system', { enable_read_file: false, enable_search_files: false }).allowed).not.toContain('Grep');
});

const refused: readonly (readonly [string, Record<string, unknown>, string])[] = [
  ['shell', { variant: 'read_only' }, 'does not look at what a command does'],
  ['shell', { allowed_commands: ['ls),Bash(*'] }, 'its commands hold'],
  ['shell', { blocked_commands: ['a,b(c'] }, 'its commands hold'],
  ['shell', { timeout: 'soon' }, 'its settings are wrong'],
  ['file_system', { base_dir: 'a),Read(/' }, 'its directories hold'],
  ['python', { allowed_imports: ['math'] }, 'its settings cannot be kept'],
  ['docker', {}, 'no tools for skills of type docker'],
  ['constructor', {}, 'no tools for skills of type constructor'],
];
for (const [type, configuration, sentence] of refused) {
  test(`${type} with ${JSON.stringify(configuration)} is left out`, () => {
    const { allowed, problems } = rulesOf(type, configuration);
    expect(allowed).toEqual([]);
    expect(problems[0]).toContain(sentence);
  });
}

test('lines that are none, or of a later version, are nothing', () => {
  for (const line of ['', 'hello', '[]', '{"type":"later"}', '{"type":"assistant"}', '{"type":"result","usage":1}']) {
    expect(parseClaudeLine(line)).toBeUndefined();
  }
  expect(parseClaudeLine('{"type":"result"}')).toMatchObject({ type: 'result', is_error: false });
  expect(resultText([{ type: 'text', text: 'a' }, { type: 'image' }])).toBe('a\n{"type":"image"}');
});

test('a server’s lists of tools hold, and a NUL in the instructions is no word of a command', () => {
  const { servers } = readMcpServers(
    {
      'my files': { command: 'x', allowed_tools: ['read.it', 'list'], blocked_tools: ['list'] },
      docs: { url: 'http://a/mcp', blocked_tools: ['drop'] },
      all: { command: 'x' },
    },
    { environment: {}, secrets: {}, base: {}, workspace: '/w' },
  );
  const words = claudeArguments({
    model: 'claude_code',
    permissionMode: 'default',
    systemPrompt: 'Be\0 kind.',
    instructions: [],
    permissions: { allowed: [], denied: ['Bash'], problems: [] },
    servers,
    mcpConfigFile: '/f',
    sessionId: undefined,
  });
  expect(words).toContain('--allowedTools=mcp__my_files__read_it,mcp__my_files__list,mcp__docs,mcp__all');
  expect(words).toContain('--disallowedTools=Bash,mcp__my_files__list,mcp__docs__drop');
  expect(words).toContain('--append-system-prompt=Be kind.');
});

test('servers that the program would start or ask in another way are left out', () => {
  const configuration = readMcpServers(
    {
      here: { command: 'x' },
      elsewhere: { command: 'x', cwd: '/srv', required: true },
      signed: { url: 'http://a/mcp', oauth: { client_id: 'a' } },
      wrong: { command: 7 },
    },
    { environment: {}, secrets: {}, base: {}, workspace: '/w' },
  );
  const { servers, problems } = claudeServersOf(configuration, '/w');
  expect(servers.map(({ name }) => name)).toEqual(['here']);
  expect(problems.map(({ server, isRequired }) => [server, isRequired])).toEqual([
    ['wrong', false],
    ['elsewhere', true],
    ['signed', false],
  ]);
});

test.if(process.platform === 'linux')(
  'a process that hides and keeps the output open does not keep the turn',
  async () => {
    await using bench = createBench();
    const result = JSON.stringify({ type: 'result', result: 'done' });
    writeFileSync(bench.path('claude'), `#!/bin/sh\nenv -i setsid sleep 4 &\nsleep 0.2\necho '${result}'\n`);
    chmodSync(bench.path('claude'), 0o755);
    const { environment, spawner, signal } = bench.context();
    const PATH = `${bench.workspace}:${environment['PATH']}`;
    const startedAt = performance.now();
    const run = await runClaude(
      {
        words: [],
        prompt: 'x',
        callId: 'call',
        cwd: bench.workspace,
        environment: { ...environment, PATH },
        limitMs: 10_000,
      },
      { spawner, signal },
      () => undefined,
    );
    expect(run).toMatchObject({ exitCode: 0, result: { result: 'done' } });
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  },
);
