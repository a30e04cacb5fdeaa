// The built binary is all there is: it runs a real workflow with the checkout hidden, wherever it is put and whatever lies beside it.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import packageJson from '../../package.json' with { type: 'json' };
import { createPlace, type Place, root, type RunOptions, type RunResult } from './namespace.ts';

let place: Place;
beforeAll(() => {
  place = createPlace();
});
afterAll(() => place.remove());

/** Every directory that the binary may use, apart from the working directory. */
function environment(home: string): Record<string, string> {
  return { HOME: home, LANG: 'C.UTF-8' };
}

/** One execution with a tool call; the shell computes what the prompt does not say. */
async function runAgent(options: RunOptions): Promise<RunResult> {
  return await place.run(
    ['exec', '--local', '--yes', '--model', 'kubiya/offline', 'Run `echo "it works $((40 + 2)) times"`'],
    options,
  );
}

function expectWorked(result: RunResult): void {
  expect(result).toMatchObject({ code: 0 });
  expect(result.stdout + result.stderr).toContain('it works 42 times');
  expect(place.processes()).toEqual([]);
}

test('the namespace hides the checkout and gives no rights', async () => {
  const probe = createProbe(
    place,
    `ls -A '${root}'; id -u; grep CapEff /proc/self/status; touch '${import.meta.dir}' /usr/kubiya-test 2>&1 || true`,
  );
  const { stdout } = await place.run(['version'], { ...probe });
  expect(stdout).toMatch(/^1000\nCapEff:\t0{16}\n.*No such file.*\n.*denied\n$/);
});

test('from an empty directory with an empty HOME: nothing is written but the home of ours', async () => {
  const [cwd, home] = [place.folder('empty'), place.folder('home')];
  expectWorked(await runAgent({ cwd, environment: environment(home) }));
  expect(readdirSync(cwd)).toEqual([]);
  expect(readdirSync(home)).toEqual(['.kubiya']);
  expect(statSync(join(home, '.kubiya')).mode & 0o777).toBe(0o700);
});

test('beside a hostile node_modules, .env, bunfig.toml, package.json and tsconfig.json: none of them is run or read', async () => {
  const cwd = place.folder('hostile');
  const trace = join(place.directory, 'executed');
  plantTraps(cwd, trace);
  const result = await runAgent({ cwd, environment: environment(place.folder('home')) });
  expect(existsSync(trace)).toBe(false);
  expect(existsSync(join(cwd, 'env'))).toBe(false);
  expectWorked(result);
});

test('with Node as the runtime, beside the same traps: its program is complete as well', async () => {
  const cwd = place.folder('hostile-to-node');
  const trace = join(place.directory, 'executed-by-node');
  plantTraps(cwd, trace);
  const result = await runAgent({
    cwd,
    environment: {
      ...environment(place.folder('node-home')),
      KUBIYA_RUNTIME: 'node',
      KUBIYA_DEBUG: 'true',
      NODE_OPTIONS: '--require=./trap.js',
      NODE_PATH: join(cwd, 'node_modules'),
    },
  });
  expect(existsSync(trace)).toBe(false);
  expectWorked(result);
  expect(result.stderr).toContain('Starting Node for the Temporal worker');
});

test('with a read-only root and an unwritable temporary directory', async () => {
  const [cwd, home, closed] = [place.folder('empty'), place.folder('read-only-home'), place.folder('closed')];
  chmodSync(closed, 0o500);
  const result = await runAgent({
    cwd,
    environment: { ...environment('/nonexistent'), KUBIYA_HOME: home, TMPDIR: closed, BUN_TMPDIR: closed },
    mounts: [`mount -t tmpfs tmpfs '${home}'`, 'mount -o remount,bind,ro /'],
  });
  expectWorked(result);
  expect(readdirSync(closed)).toEqual([]);
});

test('an inherited path of the addon is not loaded', async () => {
  const home = place.folder('home');
  const trap = join(place.directory, 'trap.node');
  writeFileSync(trap, 'not an addon');
  const cwd = place.folder('empty');
  expectWorked(await runAgent({ cwd, environment: { ...environment(home), KUBIYA_INTERNAL_CORE_BRIDGE: trap } }));
});

test('two first runs at once fill the cache once and both work', async () => {
  const [cwd, home] = [place.folder('empty'), place.folder('shared-home')];
  const results = await Promise.all([1, 2].map(() => runAgent({ cwd, environment: environment(home) })));
  for (const result of results) expectWorked(result);
  const cached = [...new Bun.Glob('.kubiya/cache/*/*').scanSync({ cwd: home, dot: true })];
  expect(cached.filter((path) => !path.endsWith('.ok'))).toHaveLength(2);
  expect(cached).toHaveLength(4);
});

test('a cache that was tampered with is repaired before it is used', async () => {
  const [cwd, home] = [place.folder('empty'), place.folder('home')];
  const files = [...new Bun.Glob('.kubiya/cache/*/*').scanSync({ cwd: home, dot: true, absolute: true })];
  const programs = files.filter((path) => !path.endsWith('.ok'));
  expect(programs).toHaveLength(2);
  for (const program of programs) writeFileSync(program, 'evil');
  expectWorked(await runAgent({ cwd, environment: environment(home) }));
  // With a stamp that fits, only KUBIYA_VERIFY sees it.
  for (const program of programs) {
    writeFileSync(program, Buffer.alloc(statSync(program).size, 'evil'));
    const { size, mtimeNs, ctimeNs, ino } = statSync(program, { bigint: true });
    writeFileSync(`${program}.ok`, `${size}:${mtimeNs}:${ctimeNs}:${ino}`);
  }
  expectWorked(await runAgent({ cwd, environment: { ...environment(home), KUBIYA_VERIFY: '1' } }));
});

const unfit: readonly (readonly [name: string, mount: (home: string) => string, sentence: RegExp])[] = [
  ['full', (home) => `mount -t tmpfs -o size=8m,mode=700 tmpfs '${home}'`, /no space left/],
  ['read-only', (home) => `mount -t tmpfs -o ro tmpfs '${home}'`, /read-only|cannot be written/],
  ['noexec', (home) => `mount -t tmpfs -o noexec,mode=700 tmpfs '${home}'`, /noexec/],
];
for (const [name, mount, sentence] of unfit) {
  test(`a disk for KUBIYA_HOME that is ${name} is exit 6, one sentence and a hint`, async () => {
    const [cwd, home] = [place.folder('empty'), place.folder(`unfit-${name}`)];
    const result = await runAgent({
      cwd,
      environment: { ...environment(place.folder('home')), KUBIYA_HOME: home },
      mounts: [mount(home)],
    });
    expect(result).toMatchObject({ code: 6 });
    const lines = result.stderr.trimEnd().split('\n');
    expect(lines.at(-2)).toMatch(sentence);
    expect(lines.at(-1)).toMatch(/hint: .*KUBIYA_HOME/);
    expect(result.stderr).not.toMatch(/ at .*\.ts|\$bunfs/);
    expect(place.processes()).toEqual([]);
  });
}

/** Options that run `script` in the place of the binary, to see what it would see. */
function createProbe({ directory, folder }: Place, script: string): RunOptions {
  const probe = join(directory, 'probe');
  writeFileSync(probe, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return {
    cwd: folder('empty'),
    environment: environment(folder('home')),
    mounts: [`mount --bind '${probe}' '${join(directory, 'kubiya')}'`],
  };
}

/** Files that leave a trace when anything loads them, under the names that a runtime or one of our modules might look for. */
function plantTraps(directory: string, trace: string): void {
  const trap = `require('node:fs').writeFileSync(${JSON.stringify(trace)}, __filename);\n`;
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  };
  const deepPaths = [
    '@temporalio/worker/lib/workflow/workflow-worker-thread.js',
    '@temporalio/worker/lib/workflow-log-interceptor.js',
    '@temporalio/core-bridge/releases/x86_64-unknown-linux-gnu/index.node',
    'source-map/lib/mappings.wasm',
  ];
  for (const path of deepPaths) write(`node_modules/${path}`, trap);
  for (const name of Object.keys(packageJson.dependencies)) {
    write(`node_modules/${name}/package.json`, JSON.stringify({ name, version: '99.0.0', main: 'index.js' }));
    write(`node_modules/${name}/index.js`, trap);
  }
  write('trap.js', trap);
  write('bunfig.toml', 'preload = ["./trap.js"]\n');
  write('package.json', JSON.stringify({ name: 'trap', imports: { '#generated/*': './trap.js' } }));
  write('tsconfig.json', JSON.stringify({ compilerOptions: { baseUrl: '.', paths: { '*': ['./trap.js'] } } }));
  // Each would be seen: the first as another model's failure, the last two as code that runs.
  for (const name of ['.env', '.env.local', '.env.production']) {
    write(
      name,
      `KUBIYA_API_KEY=trap\nKUBIYA_HOME=${directory}/env\nBUN_OPTIONS=--preload=./trap.js\nNODE_OPTIONS=--require=./trap.js\n`,
    );
  }
}
