// Bundles src/worker/workflows into the one text that the Temporal workflow sandbox loads.
import { existsSync, mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { writeFileAtomic } from '../src/lib/atomic-file.ts';
import { hashFiles } from './hash-files.ts';

/** Everything a workflow may import, and what decides how it is bundled. */
const inputPatterns = [
  'src/worker/workflows/**',
  'src/agent/**',
  'src/protocol/**',
  'src/lib/**',
  'bun.lock',
  'scripts/bundle-workflows.ts',
];
const requiredWorkflows = ['AgentExecutionWorkflow'];

/** Writes the bundle to a file named for the hash of its inputs, unless it is there, and returns its path. */
export async function bundleWorkflows(root: string, cacheDirectory: string): Promise<string> {
  const output = join(cacheDirectory, `workflow-bundle-${hashFiles(root, inputPatterns).slice(0, 16)}.txt`);
  if (existsSync(output)) return output;
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(root, 'src/worker/workflows/index.ts'),
    logger: new DefaultLogger('WARN', ({ level, message }) => console.error(`${level} ${message}`)),
    webpackConfigHook: (config) => ({
      ...config,
      // Paths from the root: the bundle is the same in every checkout and names no directory of the build machine.
      context: root,
      output: {
        ...config.output,
        devtoolModuleFilenameTemplate: (info: { absoluteResourcePath: string }) =>
          relative(root, info.absoluteResourcePath),
      },
    }),
  });
  for (const name of requiredWorkflows) {
    if (!new RegExp(`harmony export \\*/\\s+${name}: \\(\\) =>`).test(code))
      throw new Error(`the workflow bundle does not export ${name}`);
  }
  // A linked node_modules outside the checkout would write the machine's paths into the bundle, and so into the binary.
  if (/"(\.\.\/)+[^"]*node_modules\//.test(code))
    throw new Error('node_modules must lie inside the checkout, not be a link out of it');
  mkdirSync(cacheDirectory, { recursive: true });
  writeFileAtomic(output, code);
  return output;
}
