// Which program hosts Temporal: the addon is tried in a child once, Node stands in where it fails, and what is missing is said.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { probeAddon } from '../../src/processes/addon-probe.ts';
import { builtBinary, createHome, type Home, startBinary } from '../support/binary.ts';
import { type CommandResult, runCommand } from '../support/run-binary.ts';

let home: Home;
let memory: string;
beforeAll(async () => {
  home = createHome();
  memory = join(home.kubiyaHome, 'cache/addon-probe.json');
  expectWorked(await runAgent());
});
afterAll(async () => {
  await home.waitUntilEmpty(5_000);
  home.remove();
});

const words = ['exec', '--local', '--yes', '--model', 'kubiya/offline', 'run `echo "it works $((40 + 2)) times"`'];
const runAgent = (environment: Record<string, string> = {}): Promise<CommandResult> =>
  runCommand(words, { home, environment: { KUBIYA_DEBUG: 'true', ...environment } });

function expectWorked(result: CommandResult): void {
  expect(result).toMatchObject({ code: 0 });
  expect(result.stdout).toContain('it works 42 times');
}

interface Memory {
  readonly key: string;
  readonly failure: string | null;
}

const recalled = (): Memory => JSON.parse(readFileSync(memory, 'utf8')) as Memory;
/** As if the addon had failed here: a machine with such a C library or processor cannot be had in a test. */
const pretendFailure = (): void =>
  writeFileSync(memory, JSON.stringify({ ...recalled(), failure: 'loading it ends with SIGILL' }));

/** A directory with a `node` that says this version. */
function fakeNode(version: string): string {
  const directory = join(home.directory, `node-${version}`);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'node'), `#!/bin/sh\necho ${version}\n`);
  chmodSync(join(directory, 'node'), 0o755);
  return directory;
}

/** The sentence and the hint at the end of stderr. */
function lastWords({ stderr }: CommandResult): readonly string[] {
  return stderr
    .trimEnd()
    .split('\n')
    .filter((line) => !/^\d{4}-/.test(line));
}

test('what came of the first try is remembered, for this addon and this machine', () => {
  expect(recalled()).toMatchObject({ key: expect.stringMatching(/temporal-core-.*libc/), failure: null });
});

test('a remembered failure makes auto take Node, which is said once, as a warning with the reason', async () => {
  pretendFailure();
  const result = await runAgent();
  expectWorked(result);
  const warnings = result.stderr.split('\n').filter((line) => line.includes('[WARN]'));
  expect(warnings).toEqual([
    expect.stringMatching(/runs in Node, because its native addon cannot be loaded into this binary: .*SIGILL/),
  ]);
});

test.each([
  ['auto', 'no node', /cannot be loaded here: .*SIGILL.*there is no node on the PATH/, /Node 20/],
  ['auto', 'v18.20.4', /cannot be loaded here: .*\/node-v18\.20\.4\/node is v18\.20\.4/, /Node 20/],
  ['bun', 'no node', /cannot be loaded here: .*SIGILL/, /--runtime node/],
  ['node', 'no node', /needs Node 20 or newer, but there is no node on the PATH/, /--runtime bun/],
  ['node', 'v18.20.4', /needs Node 20 or newer, but \S+\/node is v18\.20\.4/, /--runtime bun/],
])('--runtime %s with %s is exit 6, one sentence and a hint', async (runtime, node, sentence, hint) => {
  pretendFailure();
  const path = node === 'no node' ? join(home.directory, 'empty') : fakeNode(node);
  const result = await runCommand(['worker', 'start', '--queue-id', 'alone', '--runtime', runtime], {
    home,
    environment: { PATH: path, KUBIYA_MODEL: 'kubiya/offline' },
  });
  expect(result).toMatchObject({ code: 6 });
  expect(lastWords(result).at(-2)).toMatch(sentence);
  expect(lastWords(result).at(-1)).toMatch(hint);
  expect(result.stderr).not.toMatch(/ at .*\.ts|\$bunfs/);
});

test('a node that is too old is passed over for a newer one further on in the PATH', async () => {
  const real = join(home.directory, 'real');
  mkdirSync(real, { recursive: true });
  const found = Bun.which('node');
  if (found === null) throw new Error('these tests need Node 20 or newer on the PATH');
  symlinkSync(found, join(real, 'node'));
  const PATH = `${fakeNode('v18.20.4')}:${real}:${process.env['PATH'] ?? ''}`;
  expectWorked(await runAgent({ PATH, KUBIYA_RUNTIME: 'node' }));
});

test('KUBIYA_VERIFY tries again', async () => {
  pretendFailure();
  const result = await runAgent({ KUBIYA_VERIFY: '1' });
  expectWorked(result);
  expect(result.stderr).not.toContain('runs in Node');
  expect(recalled().failure).toBeNull();
});

test('an addon that was damaged behind its stamp is seen by the try, extracted again, and used here', async () => {
  const addon = (JSON.parse(recalled().key) as string[])[0] ?? '';
  const { size } = statSync(addon);
  writeFileSync(addon, Buffer.alloc(size, 'evil'));
  const { mtimeNs, ctimeNs, ino } = statSync(addon, { bigint: true });
  writeFileSync(`${addon}.ok`, `${size}:${mtimeNs}:${ctimeNs}:${ino}`);
  rmSync(memory);
  const result = await runAgent();
  expectWorked(result);
  expect(result.stderr).not.toContain('runs in Node');
  expect(recalled().failure).toBeNull();
});

test('a memory that is half written or of another machine counts as none', async () => {
  const { key } = recalled();
  for (const text of ['{"key":', JSON.stringify({ key: 'elsewhere', failure: 'bad' })]) {
    writeFileSync(memory, text);
    expectWorked(await runAgent());
    expect(recalled()).toEqual({ key, failure: null });
  }
});

test('the try tells how loading fails: with words, with a signal, or because nothing could be started', async () => {
  const garbage = join(home.directory, 'garbage.node');
  writeFileSync(garbage, 'not an addon');
  const crash = join(home.directory, 'crash');
  writeFileSync(crash, '#!/bin/sh\nkill -ILL $$\n');
  chmodSync(crash, 0o755);
  const environment = { PATH: '/usr/bin:/bin' };
  const failureOf = (executable: string, addon: string) => probeAddon({ executable: [executable], addon, environment });
  expect(await failureOf(builtBinary(), garbage)).toMatch(/garbage\.node/);
  expect(await failureOf(crash, garbage)).toBe('loading it ends with SIGILL');
  expect(await failureOf(join(home.directory, 'missing'), garbage)).toMatch(/could not be tried/);
  const addon = (JSON.parse(recalled().key) as string[])[0] ?? '';
  expect(await failureOf(builtBinary(), addon)).toBeNull();
});

test('the words of the log say which Node it is', async () => {
  const running = startBinary(
    ['worker', 'start', '--queue-id', 'alone', '--model', 'kubiya/offline', '--runtime', 'node'],
    { home },
  );
  await running.waitFor(/Starting Node for the Temporal worker node=\S+ version=v\d+/);
  await running.waitFor(/Ready/);
  expect(await running.end('SIGTERM')).toMatchObject({ code: 0 });
});
