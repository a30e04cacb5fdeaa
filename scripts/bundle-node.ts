// Bundles src/node-main.ts into the one script that Node runs for `--runtime node`.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { BunPlugin } from 'bun';
import { writeFileAtomic } from '../src/lib/atomic-file.ts';
import { assertNamesNoCheckout } from './checkout-names.ts';
import { hashFiles } from './hash-files.ts';
import { createTemporalPlugin } from './temporal-plugin.ts';

/** What decides what the script is made of. */
const inputPatterns = ['src/**', 'bun.lock', 'scripts/bundle-node.ts', 'scripts/temporal-plugin.ts'];
/** Of zstd: everyday builds and releases differ by nothing that counts at this size. */
const compressionLevel = 19;

export interface NodeBundle {
  /** Of the compressed script. */
  readonly path: string;
  /** Of the script. */
  readonly facts: { readonly sha256: string; readonly bytes: number };
}

/** Writes script and compressed script to files named for the hash of their inputs, unless they are there. */
export async function bundleNode(root: string, workflowBundle: string, cacheDirectory: string): Promise<NodeBundle> {
  const hash = hashFiles(root, inputPatterns).slice(0, 16);
  const script = join(cacheDirectory, `node-worker-${hash}.mjs`);
  const compressed = `${script}.zst`;
  if (!existsSync(compressed)) {
    mkdirSync(cacheDirectory, { recursive: true });
    const text = await buildForNode({ root, entryPoint: join(root, 'src/node-main.ts'), workflowBundle });
    removeOld(cacheDirectory);
    writeFileAtomic(script, text);
    assertNamesNoCheckout(script, root);
    writeFileAtomic(compressed, await Bun.zstdCompress(text, { level: compressionLevel }));
  }
  const data = readFileSync(script);
  return { path: compressed, facts: { sha256: createHash('sha256').update(data).digest('hex'), bytes: data.length } };
}

/** Each change of the source makes another five megabytes; builds of several checkouts' states may run at once. */
const versionsKeptMax = 6;

function removeOld(directory: string): void {
  const byAge = readdirSync(directory)
    .filter((name) => name.endsWith('.mjs.zst'))
    .map((name) => ({ path: join(directory, name), time: statSync(join(directory, name)).mtimeMs }))
    .toSorted((first, second) => second.time - first.time);
  for (const { path } of byAge.slice(versionsKeptMax - 1)) {
    rmSync(path, { force: true });
    rmSync(path.slice(0, -'.zst'.length), { force: true });
  }
}

/** The text of a script with everything that it imports, for Node ≥ 20, run from anywhere. */
export async function buildForNode(options: {
  readonly root: string;
  readonly entryPoint: string;
  /** Path of the text from scripts/bundle-workflows.ts. */
  readonly workflowBundle: string;
}): Promise<string> {
  const { root, entryPoint, workflowBundle } = options;
  const temporal = createTemporalPlugin(root);
  const result = await Bun.build({
    entrypoints: [entryPoint],
    root,
    target: 'node',
    format: 'esm',
    minify: true,
    sourcemap: 'none',
    define: { __dirname: '"/kubiya"', __filename: '"/kubiya/module.js"' },
    plugins: [temporal.plugin, textAsWorkflows(workflowBundle)],
  });
  const [output] = result.outputs;
  if (!result.success || output === undefined) throw new Error(result.logs.map(String).join('\n'));
  temporal.assertApplied();
  return await output.text();
}

function textAsWorkflows(path: string): BunPlugin {
  return {
    name: 'workflow-bundle',
    setup(builder) {
      builder.onResolve({ filter: /^#generated\/workflow-bundle$/ }, () => ({ path, namespace: 'workflow-bundle' }));
      builder.onLoad({ filter: /.*/, namespace: 'workflow-bundle' }, () => ({
        loader: 'js',
        contents: `export const workflowBundle = ${JSON.stringify(readFileSync(path, 'utf8'))};\n`,
      }));
    },
  };
}
