// The official conformance suite's client scenarios, each against our MCP client as an agent uses it.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Its `bin`; it has no exports. */
const suite = join(
  dirname(Bun.resolveSync('@modelcontextprotocol/conformance/package.json', import.meta.dir)),
  'dist/index.js',
);
const client = `${process.execPath} ${join(import.meta.dir, 'conformance-client.fixture.ts')}`;
const atOnce = 2;

let directory = '';
beforeAll(() => void (directory = mkdtempSync(join(tmpdir(), 'kubiya-conformance-'))));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function run(args: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  const child = Bun.spawn([process.execPath, suite, ...args], { cwd: directory, stdout: 'pipe', stderr: 'pipe' });
  const [code, stdout, stderr] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  return { code, output: `${stdout}${stderr}` };
}

test('every client scenario passes', async () => {
  const { output: list } = await run(['list', '--client']);
  const scenarios = [...list.matchAll(/^ {2}- (\S+)/gm)].map(([, name = '']) => name);
  expect(scenarios.length).toBeGreaterThanOrEqual(26);
  const failed = new Map<string, string>();
  const rest = [...scenarios];
  const worker = async (): Promise<void> => {
    for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
      const { code, output } = await run(['client', '--command', client, '--scenario', name]);
      if (code !== 0 || !output.includes('OVERALL: PASSED')) failed.set(name, output);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  expect([...failed].map(([name, output]) => `${name}\n${output}`).join('\n')).toBe('');
}, 120_000);
