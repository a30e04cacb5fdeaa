// `kubiya exec --local` with skill folders and real MCP servers: an agent uses their tools, and nothing of them is left.
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createHome, type Home, startBinary } from '../support/binary.ts';
import { type Script, type ScriptedServer, startScriptedOpenAi } from '../support/model-servers.ts';
import { runCommand } from '../support/run-binary.ts';
import { until } from '../support/until.ts';

const programOf = (name: string): string =>
  join(dirname(Bun.resolveSync(`@modelcontextprotocol/${name}/package.json`, import.meta.dir)), 'dist/index.js');
const everything = { command: process.execPath, args: [programOf('server-everything'), 'stdio'] };
const faulty = join(import.meta.dir, 'faulty-server.fixture.ts');

let home: Home;
let model: ScriptedServer | undefined;
beforeEach(() => void (home = createHome()));
afterEach(async () => {
  home.remove();
  await model?.stop();
  model = undefined;
});

/** A folder with a skill's instructions and MCP servers. */
function skillFolder(mcpServers: Record<string, unknown>): string {
  const folder = join(home.directory, 'skills', 'greeting');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'SKILL.md'), '---\nname: greeting\ndescription: How to greet\n---\nSay "Servus" first.\n');
  writeFileSync(join(folder, 'formal.md'), 'Say "Guten Tag".\n');
  writeFileSync(join(folder, 'mcp.json'), JSON.stringify({ mcpServers }));
  return dirname(folder);
}

async function options(script: Script, more: Record<string, string> = {}) {
  model = await startScriptedOpenAi(script);
  return {
    home,
    environment: { OPENAI_BASE_URL: model.url, OPENAI_API_KEY: 'sk-test', KUBIYA_MODEL: 'openai/gpt-5', ...more },
  };
}

const call = (name: string, values: Record<string, unknown> = {}) => ({ name, arguments: values });
const words = (folder: string): string[] => [
  'exec',
  '--local',
  '--yes',
  '--skill-dir',
  folder,
  '--cwd',
  home.directory,
];

interface Asked {
  readonly tools: readonly { readonly function: { readonly name: string; readonly description: string } }[];
  readonly messages: readonly { readonly role: string; readonly content: unknown }[];
}
const asked = (index: number): Asked => model?.requests[index]?.body as unknown as Asked;
const resultsIn = (index: number): string[] =>
  asked(index)
    .messages.filter(({ role }) => role === 'tool')
    .map(({ content }) => String(content));

for (const runtime of ['bun', 'node']) {
  test(`an agent uses real servers and reads a skill (${runtime})`, async () => {
    writeFileSync(join(home.directory, 'note.txt'), 'the content of the note');
    const folder = skillFolder({
      everything,
      files: { command: process.execPath, args: [programOf('server-filesystem'), home.directory] },
      broken: { command: process.execPath, args: [faulty, 'dies'] },
      keyless: { url: 'http://127.0.0.1:1/mcp', headers: { Authorization: 'Bearer ${NOT_THERE}' } },
    });
    const script: Script = [
      {
        type: 'calls',
        calls: [
          call('mcp__everything__echo', { message: 'hello' }),
          call('mcp__files__read_text_file', { path: join(home.directory, 'note.txt') }),
          call('read_skill', { name: 'greeting' }),
          call('read_skill', { name: 'greeting', file: '../../note.txt' }),
        ],
      },
      { type: 'text', text: 'all done' },
    ];
    const run = await runCommand([...words(folder), 'greet'], await options(script, { KUBIYA_RUNTIME: runtime }));
    // At once: they end before the command does.
    expect(home.processes().filter((line) => /server-(everything|filesystem)/.test(line))).toEqual([]);
    expect(run.stderr).not.toContain('error:');
    expect(run.code).toBe(0);
    expect(run.stdout).toContain('all done');
    const [echo, note, skill, outside] = resultsIn(1);
    expect(echo).toBe('Echo: hello');
    expect(note).toContain('the content of the note');
    expect(skill).toContain('Say "Servus" first.');
    expect(skill).toContain('formal.md');
    expect(outside).toContain('it is outside the skill');
    const reader = asked(0).tools.find((tool) => tool.function.name === 'read_skill');
    expect(reader?.function.description).toContain('- greeting: How to greet');
    // Those that are not there are said, and the agent goes on.
    expect(run.stderr).toContain('MCP server broken is not available');
    expect(run.stderr).toContain('MCP server keyless is not available: ${NOT_THERE} is not set for this execution');
    await home.waitUntilEmpty(2_000);
  }, 60_000);
}

test('kill -9 in a call leaves no process of a server', async () => {
  const script: Script = [
    { type: 'calls', calls: [call('mcp__faulty__stray')] },
    { type: 'calls', calls: [call('mcp__faulty__hang')] },
  ];
  const folder = skillFolder({ everything, faulty: { command: process.execPath, args: [faulty, 'stubborn'] } });
  const run = startBinary([...words(folder), 'hang'], await options(script));
  await until(() => home.processes().some((line) => line.includes('sleep 1000')), { what: () => run.output() });
  await until(() => run.output().includes('hang'), { what: () => run.output() });
  expect(home.processes().some((line) => line.includes('server-everything'))).toBe(true);
  await run.end('SIGKILL');
  await home.waitUntilEmpty(3_000);
}, 60_000);

test('a required server that does not start ends the execution, and a secret of it is nowhere', async () => {
  const secret = 'sk-very-secret-4711';
  const folder = skillFolder({
    faulty: { command: process.execPath, args: [faulty, 'dies'], env: { FAULTY_TOKEN: secret }, required: true },
  });
  const run = await runCommand([...words(folder), 'go'], await options([]));
  expect(run.code).toBe(6);
  expect(run.stderr).toContain('MCP server faulty is not available');
  expect(run.stderr).toContain('is not accepted');
  expect(`${run.stdout}${run.stderr}`).not.toContain(secret);
}, 60_000);

test('a skill folder that is not there is an error of the configuration', async () => {
  const run = await runCommand([...words(join(home.directory, 'nowhere')), 'go'], await options([]));
  expect(run.code).toBe(6);
  expect(run.stderr).toContain('nowhere does not exist');
}, 60_000);
