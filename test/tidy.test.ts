// The style that a test can see: the import table, the doors, the shape of files, and what the repository's top may hold.
import { describe, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import packageJson from '../package.json' with { type: 'json' };
import { version } from '../src/version.ts';
import { areas, doors, functionLinesMax, topLevel } from './support/tidy-rules.ts';
import { checkTree } from './support/tidy.ts';

const root = resolve(import.meta.dir, '..');
const head = '// A sentence that says what this file is for.\n';

/** Violations of one file in an otherwise empty tree. */
function check(path: string, code: string, others: Record<string, string> = {}): string[] {
  return checkTree(new Map(Object.entries({ ...others, [path]: `${head}${code}\n` })));
}

describe('this repository', () => {
  test('keeps the import table, the doors and the shape of files', () => {
    const paths = [...new Bun.Glob('{src,scripts,test}/**/*.{ts,txt}').scanSync({ cwd: root })];
    const tree = new Map(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]));
    expect(tree.size).toBeGreaterThan(50);
    expect(checkTree(tree)).toEqual([]);
    // Every file is parsed, on a machine that others use as well.
  }, 60_000);

  test('has nothing at its top that the layout does not name', () => {
    const { stdout, exitCode } = Bun.spawnSync(['git', 'ls-files', '-z'], { cwd: root });
    expect(exitCode).toBe(0);
    const entries = new Set(
      stdout
        .toString()
        .split('\0')
        .filter(Boolean)
        .map((path) => path.split('/', 1)[0] ?? ''),
    );
    expect([...entries].filter((entry) => !topLevel.includes(entry))).toEqual([]);
  });

  test('gives a reason for every dependency in ARCHITECTURE.md', () => {
    const lines = readFileSync(join(root, 'src/ARCHITECTURE.md'), 'utf8').split('\n');
    const wordsMin = 6;
    const isExplained = (name: string): boolean =>
      lines.some((line) => line.includes(`\`${name}\``) && line.split(/\s+/).length >= wordsMin);
    expect(Object.keys(packageJson.dependencies).filter((name) => !isExplained(name))).toEqual([]);
  });

  test('pins exact versions and has one version number', () => {
    const versions = Object.values({ ...packageJson.dependencies, ...packageJson.devDependencies });
    expect(versions.filter((range) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(range))).toEqual([]);
    expect(packageJson.version).toBe(version);
  });
});

describe('the checker refuses', () => {
  const folders = Object.keys(areas).filter((name) => name !== 'generated.d');
  const fileIn = (area: string): string =>
    ['errors', 'version', 'main', 'node-main'].includes(area) ? `src/${area}.ts` : `src/${area}/x.ts`;
  const specifier = (from: string, to: string): string =>
    `${'../'.repeat(fileIn(from).split('/').length - 2) || './'}${fileIn(to).slice(4)}`;

  for (const from of folders) {
    const allowed = new Set([from, ...(areas[from]?.may ?? [])]);
    test(`${from} importing anything but ${[...allowed].join(', ')}`, () => {
      for (const to of folders) {
        const found = check(fileIn(from), `import { x } from '${specifier(from, to)}';\nx();`, {
          [fileIn(to)]: `${head}export const x = () => 1;\n`,
        });
        expect({ to, refused: found.some((line) => line.includes(`${from} may not import`)) }).toEqual({
          to,
          refused: !allowed.has(to),
        });
      }
    });
  }

  test('values where only types are allowed, and static imports of what is to be lazy', () => {
    expect(
      check('src/server/x.ts', `import type { Config } from '../config/config.ts';\nexport type X = Config;`),
    ).toEqual([]);
    expect(check('src/server/x.ts', `import { load } from '../config/load.ts';\nload();`)).toHaveLength(1);
    expect(check('src/cli/x.ts', `export const load = () => import('../processes/worker.ts');`)).toEqual([]);
    expect(check('src/cli/x.ts', `import { load } from '../processes/worker.ts';\nload();`)).toHaveLength(1);
    expect(check('src/tools/x.ts', `export const load = () => import('../worker/run.ts');`)).toHaveLength(1);
    expect(check('src/tools/x.ts', `export * from '../worker/run.ts';\nexport const a = 1;`)).toHaveLength(1);
    expect(check('src/tools/x.ts', `export type A = import('../worker/run.ts').A;`)).toHaveLength(1);
  });

  test('input and output reached from the workflow sandbox, through however many files', () => {
    const others = {
      'src/lib/middle.ts': `${head}import { readIt } from './deep.ts';\nexport const x = readIt;\n`,
      'src/lib/deep.ts': `${head}import { readFileSync } from 'node:fs';\nexport const readIt = readFileSync;\n`,
    };
    const found = check('src/agent/x.ts', `import { x } from '../lib/middle.ts';\nx('a');`, others);
    expect(found).toEqual([expect.stringContaining('reaches src/lib/deep.ts → node:fs')]);
  });

  /** Code that goes through a door → whether `path` may contain it. */
  const throughDoors: readonly (readonly [code: string, allowed: string])[] = [
    ['process.exit(1);', 'src/main.ts'],
    ["process['exit'](1);", 'src/main.ts'],
    ['globalThis.process.exit(1);', 'src/main.ts'],
    ["import { exit } from 'node:process';\nexit(1);", 'src/main.ts'],
    ['const { exit } = process;\nexit(1);', 'src/main.ts'],
    ['process.exitCode = 1;', 'src/main.ts'],
    ['export const a = process.argv;', 'src/main.ts'],
    ['export const a = process.env.HOME;', 'src/config/sources.ts'],
    ['export const a = Bun.env.HOME;', 'src/config/sources.ts'],
    ["process.env['A'] = 'b';", 'src/worker/addon-path.ts'],
    ["process.on('SIGTERM', () => undefined);", 'src/processes/signals.ts'],
    ["process.once('SIGINT', () => undefined);", 'src/processes/signals.ts'],
    ["for (const name of ['SIGINT']) process.on(name, () => undefined);", 'src/processes/signals.ts'],
    ["process.stdout.write('a');", 'src/cli/output.ts'],
    ["process.stderr.write('a');", 'src/telemetry/log.ts'],
    ["console.log('a');", 'src/telemetry/log.ts'],
    ["import { sleep } from '@temporalio/workflow';\nvoid sleep(1);", 'src/worker/workflows/x.ts'],
    ["import { Client } from '@temporalio/client';\nvoid Client;", 'src/server/temporal.ts'],
    ["import type { Client } from '@temporalio/client';\nexport type C = Client;", 'src/worker/x.ts'],
    ["export const load = () => import('@temporalio/worker');", 'src/worker/x.ts'],
    ["import { Database } from 'bun:sqlite';\nvoid Database;", 'src/server/store/x.ts'],
    ["import { Database } from 'bun:sqlite';\nvoid Database;", 'src/supervisor/lock.ts'],
    ["import { spawn } from 'node:child_process';\nvoid spawn;", 'src/lib/spawn.ts'],
    ["import { x } from '../lib/spawn.ts';\nx();", 'src/tools/x.ts'],
    ["import { devServer } from '#generated/dev-server';\nvoid devServer;", 'src/server/dev-server-asset.ts'],
    ["import { nodeWorker } from '#generated/node-worker';\nvoid nodeWorker;", 'src/processes/node-bundle.ts'],
    ["import { nativeAddon } from '#generated/native-addon';\nvoid nativeAddon;", 'src/worker/native.ts'],
  ];
  for (const [code, allowed] of throughDoors) {
    test(`${code.split('\n', 1)[0]} elsewhere than in ${allowed}`, () => {
      const refusals = (path: string): string[] => check(path, code).filter((line) => line.includes(' is only for '));
      expect(refusals(allowed)).toEqual([]);
      expect(refusals('src/controlplane/x.ts')).not.toEqual([]);
    });
  }

  test('every door: each is tried above or here', () => {
    expect(check('src/worker/x.ts', 'export const a = Bun.file;')).toHaveLength(1);
    expect(check('src/worker/x.ts', "import { file } from 'bun';\nvoid file;")).not.toEqual([]);
    expect(check('src/server/x.ts', 'export const a = Bun.file;')).toEqual([]);
    expect(check('src/server/x.ts', "Bun.spawn(['a']);")).toHaveLength(1);
    expect(check('src/worker/workflows/x.ts', "import { Client } from '@temporalio/client';\nvoid Client;")).toEqual(
      [],
    );
    expect(check('src/worker/x.ts', "import { sleep } from '@temporalio/workflow';\nvoid sleep(1);")).toHaveLength(1);
    for (const door of doors) expect(door.reason.length).toBeGreaterThan(10);
  });

  test('the shapes that style.md forbids', () => {
    const shapes: readonly (readonly [path: string, code: string, sentence: string])[] = [
      ['src/lib/x.ts', 'export const a: any = 1;', '`any`'],
      ['src/lib/x.ts', 'export const a = (b?: string) => b!.length;', 'non-null'],
      ['src/lib/x.ts', 'export enum A { b }', 'enum'],
      ['src/lib/x.ts', '@a class B {}', 'decorator'],
      ['src/lib/x.ts', 'export default 1;', 'default export'],
      ['src/lib/x.ts', '// TODO later', 'what is to be done'],
      ['src/lib/x.ts', "export * from './y.ts';", 'barrel'],
      ['src/lib/x.ts', "export { a } from './y.ts';\nexport type { B } from './z.ts';", 'barrel'],
      ['src/lib/x.ts', "import { a } from './y';\na();", 'extension'],
      ['src/lib/x.ts', 'export const a = (name: string) => import(name);', 'computed name'],
      ['src/lib/x.ts', `export function a() {\n${'  a();\n'.repeat(functionLinesMax)}}`, 'a function of 72 lines'],
      ['src/lib/x.ts', `export const a = [\n${'  1,\n'.repeat(400)}];`, '403 lines'],
      ['src/lib/camelCase.ts', 'export const a = 1;', 'kebab-case'],
      ['src/unknown/x.ts', 'export const a = 1;', 'not in the import table'],
      ['src/lib/x.ts', "import { a } from '../../test/a.ts';\na();", 'outside src'],
    ];
    for (const [path, code, sentence] of shapes) {
      const found = check(path, code);
      expect({ code: code.slice(0, 60), found }).toEqual({
        code: code.slice(0, 60),
        found: expect.arrayContaining([expect.stringContaining(sentence)]),
      });
    }
    expect(checkTree(new Map([['src/lib/x.ts', 'export const a = 1;\n']]))).toEqual([
      expect.stringContaining('opens with one sentence'),
    ]);
    expect(check('src/cli/commands/x.ts', 'export default 1;')).toEqual([]);
    const long = `// A long list. One file because the list is one thing.\nexport const a = [\n${'  1,\n'.repeat(400)}];\n`;
    expect(checkTree(new Map([['src/lib/x.ts', long]]))).toEqual([]);
  });
});

test('the linter refuses what it is trusted with', () => {
  const directory = mkdtempSync(join(tmpdir(), 'kubiya-lint-'));
  try {
    writeFileSync(
      join(directory, 'tsconfig.json'),
      '{"compilerOptions":{"strict":true,"noEmit":true,"types":[]},"include":["."]}',
    );
    writeFileSync(
      join(directory, 'bad.ts'),
      `export const wait = async (): Promise<void> => {};
wait();
export const a: any = 1;
export const b: string = a.c;
export const d = (e?: string): number => e!.length;
try { wait(); } catch {}
export const f = (kind: 'g' | 'h'): number => { switch (kind) { case 'g': return 1; } return 2; };\n`,
    );
    // From the root, where the linter finds its type-aware half.
    const lint = [process.execPath, '--bun', 'run', 'oxlint', '--format', 'unix', directory];
    const { stdout, exitCode } = Bun.spawnSync(lint, { cwd: root });
    expect(exitCode).not.toBe(0);
    const rules = [
      'no-floating-promises',
      'no-explicit-any',
      'no-unsafe-assignment',
      'no-non-null-assertion',
      'no-empty',
      'switch-exhaustiveness-check',
    ];
    expect(rules.filter((rule) => !stdout.toString().includes(rule))).toEqual([]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
