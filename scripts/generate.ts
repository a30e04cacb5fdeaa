// Writes the modules that the source imports as `#generated/…`: the workflow bundle, the script for Node, the native addon and the dev server of one target.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { writeFileAtomic } from '../src/lib/atomic-file.ts';
import { bundleNode } from './bundle-node.ts';
import { bundleWorkflows } from './bundle-workflows.ts';
import { devServerVersion, hostTarget, type Target } from './targets.ts';
import { packageDirectory } from './temporal-plugin.ts';
import { type CompressionLevel, compressDevServer, compressionLevels, fetchDevServer } from './temporal-server.ts';

export const root = resolve(import.meta.dir, '..');
const cache = join(root, '.cache');

export interface GenerateOptions {
  readonly target: Target;
  /** Null leaves the dev server out. */
  readonly devServerLevel: CompressionLevel | null;
  /** Where the modules are written; `#generated` of package.json unless a build for another target needs its own. */
  readonly directory?: string;
}

/** Returns the directory that holds the modules. */
export async function generate({
  target,
  devServerLevel,
  directory = join(cache, 'generated/host'),
}: GenerateOptions): Promise<string> {
  mkdirSync(directory, { recursive: true });
  const [bundle, devServer] = await Promise.all([
    bundleWorkflows(root, join(cache, 'workflows')),
    describeDevServer(target, devServerLevel),
  ]);
  const addon = cacheAddon(join(packageDirectory(root, 'core-bridge'), 'releases', target.addon, 'index.node'));
  write(
    'workflow-bundle',
    `import text from ${local(bundle)} with { type: 'text' };\nexport const workflowBundle = text;\n`,
  );
  const nodeWorker = await bundleNode(root, bundle, join(cache, 'node'));
  write('node-worker', assetModule('nodeWorker', nodeWorker.path, nodeWorker.facts));
  write('native-addon', assetModule('nativeAddon', addon.path, addon.facts));
  write(
    'dev-server',
    devServer === null ? 'export const devServer = null;\n' : assetModule('devServer', devServer.path, devServer.facts),
  );
  return directory;

  function local(path: string): string {
    return JSON.stringify(relative(directory, path).replaceAll('\\', '/'));
  }

  function assetModule(name: string, path: string, facts: object): string {
    return `import path from ${local(path)} with { type: 'file' };\nexport const ${name} = { path, ...${JSON.stringify(facts)} };\n`;
  }

  function write(name: string, text: string): void {
    writeFileAtomic(join(directory, `${name}.js`), `// Written by scripts/generate.ts.\n${text}`);
  }
}

async function describeDevServer(target: Target, level: CompressionLevel | null) {
  if (level === null || target.devServer === null) return null;
  const executable = await fetchDevServer(target.devServer, join(cache, 'temporal'));
  const { sha256, bytes } = target.devServer;
  return { path: await compressDevServer(executable, level), facts: { version: devServerVersion, sha256, bytes } };
}

/** The addon under a name that does not end in `.node`: Bun loads such a file instead of giving its path. */
function cacheAddon(source: string) {
  const data = readFileSync(source);
  const sha256 = createHash('sha256').update(data).digest('hex');
  const path = join(cache, 'native', `temporal-core-${sha256.slice(0, 16)}.bin`);
  mkdirSync(join(cache, 'native'), { recursive: true });
  if (!existsSync(path)) writeFileAtomic(path, data);
  return { path, facts: { sha256, bytes: data.length } };
}

if (import.meta.main) {
  const isSlim = process.argv.includes('--slim');
  await generate({ target: hostTarget(), devServerLevel: isSlim ? null : compressionLevels.everyday });
}
