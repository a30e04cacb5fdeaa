// Builds the binary: `bun run build [--all | --target NAME] [--slim] [--fast] [--if-changed]` → dist/kubiya, or dist/kubiya-<target> for each of several.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import type { BunPlugin } from 'bun';
import { writeFileAtomic } from '../src/lib/atomic-file.ts';
import { assertNamesNoCheckout } from './checkout-names.ts';
import { generate, root } from './generate.ts';
import { hashFiles } from './hash-files.ts';
import { hostTarget, type Target, targets } from './targets.ts';
import { createTemporalPlugin } from './temporal-plugin.ts';
import { type CompressionLevel, compressionLevels } from './temporal-server.ts';

export interface BuildOptions {
  readonly target: Target;
  readonly outfile: string;
  readonly devServerLevel: CompressionLevel | null;
  /** Without bytecode and minification: for development, where the build counts and the start does not. */
  readonly isFast: boolean;
  /** The program; src/main.ts but in tests of the build itself. */
  readonly entryPoint?: string;
}

/** Builds one binary; the file at `outfile` is replaced in one step, so that a running one is not disturbed. */
export async function build(options: BuildOptions): Promise<void> {
  const { target, outfile, devServerLevel, isFast } = options;
  const flavour = target.devServer === null || devServerLevel === null ? 'slim' : String(devServerLevel);
  const directory = join(root, '.cache/generated', `${target.name}-${flavour}`);
  await generate({ target, devServerLevel, directory });
  const temporal = createTemporalPlugin(root);
  mkdirSync(join(root, 'dist'), { recursive: true });
  const scratch = mkdtempSync(join(root, 'dist/.build-'));
  try {
    // One name whatever the target: the name is part of the binary, and builds are to be reproducible.
    const compiled = join(scratch, `kubiya${target.suffix}`);
    const result = await Bun.build({
      entrypoints: [options.entryPoint ?? join(root, 'src/main.ts')],
      root,
      format: 'esm',
      splitting: true,
      minify: !isFast,
      bytecode: !isFast,
      sourcemap: 'none',
      // Bun writes the build machine's path in their place; nothing that runs reads files beside its source.
      define: { __dirname: '"/$bunfs/root"', __filename: '"/$bunfs/root/module.js"' },
      plugins: [temporal.plugin, resolveGenerated(directory)],
      compile: {
        target: target.bun,
        outfile: compiled,
        autoloadDotenv: false,
        autoloadBunfig: false,
        autoloadTsconfig: false,
        autoloadPackageJson: false,
      },
    });
    if (!result.success) throw new Error(result.logs.map(String).join('\n'));
    temporal.assertApplied();
    assertNamesNoCheckout(compiled, root);
    renameSync(compiled, outfile);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function resolveGenerated(directory: string): BunPlugin {
  return {
    name: 'generated',
    setup(builder) {
      builder.onResolve({ filter: /^#generated\// }, ({ path }) => ({
        path: join(directory, `${path.slice('#generated/'.length)}.js`),
      }));
    },
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      all: { type: 'boolean', default: false },
      target: { type: 'string' },
      slim: { type: 'boolean', default: false },
      fast: { type: 'boolean', default: false },
      'if-changed': { type: 'boolean', default: false },
    },
  });
  const chosen = values.all ? targets : [values.target === undefined ? hostTarget() : targetNamed(values.target)];
  for (const target of chosen) {
    const isNamed = values.all || values.target !== undefined;
    const outfile = join(root, 'dist', `kubiya${isNamed ? `-${target.name}` : ''}${target.suffix}`);
    const startedAt = performance.now();
    const level = values.all ? compressionLevels.release : compressionLevels.everyday;
    const options = { target, outfile, devServerLevel: values.slim ? null : level, isFast: values.fast };
    const stamp = join(root, '.cache/build', basename(outfile));
    // As they are now: what changes while it is built is not in the binary.
    const sources = hashFiles(root, ['src/**', 'scripts/**', 'package.json', 'bun.lock']);
    const isCurrent = (): boolean => existsSync(stamp) && readFileSync(stamp, 'utf8') === fingerprint(options, sources);
    if (values['if-changed'] && isCurrent()) continue;
    await build(options);
    mkdirSync(dirname(stamp), { recursive: true });
    writeFileAtomic(stamp, fingerprint(options, sources));
    const megabytes = (statSync(outfile).size / 1e6).toFixed(1);
    console.log(
      `${outfile.slice(root.length + 1)}  ${megabytes} MB  ${((performance.now() - startedAt) / 1000).toFixed(1)} s`,
    );
  }
}

/** Changes with everything that the binary is made of, and with the binary. */
function fingerprint({ target, outfile, devServerLevel, isFast }: BuildOptions, sources: string): string {
  const binary = statSync(outfile, { throwIfNoEntry: false });
  return JSON.stringify([target, devServerLevel, isFast, Bun.version, sources, binary?.size, binary?.mtimeMs]);
}

function targetNamed(name: string): Target {
  const found = targets.find((target) => target.name === name);
  if (found === undefined)
    throw new Error(`there is no target ${name}; there is ${targets.map((target) => target.name).join(', ')}`);
  return found;
}

if (import.meta.main) await main();
