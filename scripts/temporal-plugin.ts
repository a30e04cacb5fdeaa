// Makes the Temporal SDK fit into one file, for Bun and for Node: six patches, each of which fails the build when it no longer applies.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { BunPlugin } from 'bun';

/** The SDK versions these patches were read and run against. */
const checkedVersions = /^1\.24\./;
const checkedPackages = ['worker', 'core-bridge', 'workflow', 'activity', 'client', 'common', 'proto'];

interface Patch {
  readonly name: string;
  /** Matches the absolute path of the module that is patched. */
  readonly path: RegExp;
  /** Returns the new text of the module; throws when the old one is not what the patch was written for. */
  readonly apply: (source: string, path: string) => string;
}

export interface TemporalPlugin {
  readonly plugin: BunPlugin;
  /** Throws unless every patch was applied; call it after the build. */
  readonly assertApplied: () => void;
}

/** `root` is the build's root and holds node_modules. */
export function createTemporalPlugin(root: string): TemporalPlugin {
  for (const name of checkedPackages) assertCheckedVersion(root, name);
  const applied = new Set<string>();
  const plugin: BunPlugin = {
    name: 'temporal',
    setup(build) {
      for (const patch of patches) {
        build.onLoad({ filter: patch.path }, ({ path }) => {
          const contents = patch.apply(readFileSync(path, 'utf8'), path);
          applied.add(patch.name);
          return { loader: 'js', contents };
        });
      }
    },
  };
  return {
    plugin,
    assertApplied() {
      const missing = patches.filter((patch) => !applied.has(patch.name)).map((patch) => patch.name);
      if (missing.length > 0) throw new Error(`temporal-plugin: never applied: ${missing.join(', ')}`);
    },
  };
}

export const patches: readonly Patch[] = [
  {
    // The SDK looks for the addon beside itself. `src/worker/native.ts` extracts ours, `src/worker/addon-path.ts` names it in
    // this variable.
    name: 'core-bridge/common.js',
    path: /@temporalio[\\/]core-bridge[\\/]common\.js$/,
    apply(source, path) {
      const index = readFileSync(join(dirname(path), 'index.js'), 'utf8');
      expectOnce(index, 'const nativeLibPath = getPrebuiltPath();', 'core-bridge/index.js');
      expectOnce(index, 'require(nativeLibPath)', 'core-bridge/index.js');
      expectOnce(
        source,
        'module.exports = { targets, archAlias, platformMapping, PrebuildError, getPrebuiltPath, getPrebuiltTargetName };',
        this.name,
      );
      return `exports.getPrebuiltPath = () => {
  const path = process.env.KUBIYA_INTERNAL_CORE_BRIDGE;
  if (!path) throw new Error('setNativeAddon() must run before the Temporal worker is imported');
  return path;
};\n`;
    },
  },
  {
    // Our workflows have no thread of their own (src/worker/tuning.ts), so its entry point need not be part of the build.
    name: 'worker/threaded-vm.js',
    path: /@temporalio[\\/]worker[\\/]lib[\\/]workflow[\\/]threaded-vm\.js$/,
    apply(source, path) {
      expectOnce(source, 'exports.ThreadedVMWorkflowCreator = ThreadedVMWorkflowCreator;', this.name);
      const worker = readFileSync(join(dirname(path), '../worker.js'), 'utf8');
      expectOnce(worker, 'threaded_vm_1.', 'worker/worker.js');
      expectOnce(worker, 'await threaded_vm_1.ThreadedVMWorkflowCreator.create({', 'worker/worker.js');
      return `exports.ThreadedVMWorkflowCreator = class {
  static create() { throw new Error('workflows have no thread in this build: set debugMode'); }
};\n`;
    },
  },
  {
    // Workflows are bundled at build time: webpack, swc and their loaders stay out of the binary.
    name: 'worker/bundler.js',
    path: /@temporalio[\\/]worker[\\/]lib[\\/]workflow[\\/]bundler\.js$/,
    apply(source, path) {
      expectOnce(
        source,
        "exports.defaultWorkflowInterceptorModules = [require.resolve('../workflow-log-interceptor')];",
        this.name,
      );
      expectOnce(source, '\nclass WorkflowCodeBundler {', this.name);
      expectOnce(source, '\nasync function bundleWorkflowCode(', this.name);
      const worker = readFileSync(join(dirname(path), '../worker.js'), 'utf8');
      const used = [...new Set([...worker.matchAll(/bundler_1\.(\w+)/g)].map((match) => match[1] ?? ''))]
        .toSorted()
        .join();
      if (used !== 'WorkflowCodeBundler,defaultWorkflowInterceptorModules') {
        throw new Error(`temporal-plugin: worker.js uses other names of bundler.js than it did: ${used}`);
      }
      return `const refuse = () => { throw new Error('workflows are bundled at build time: pass workflowBundle'); };
exports.defaultWorkflowInterceptorModules = ['workflow-log-interceptor'];
exports.bundleWorkflowCode = refuse;
exports.WorkflowCodeBundler = class { constructor() { refuse(); } };\n`;
    },
  },
  {
    // It reads mappings.wasm beside itself, which exists on the build machine only.
    name: 'source-map/read-wasm.js',
    path: /node_modules[\\/]source-map[\\/]lib[\\/]read-wasm\.js$/,
    apply(source, path) {
      expectOnce(source, 'path.join(__dirname, "mappings.wasm")', this.name);
      const wasm = readFileSync(join(dirname(path), 'mappings.wasm')).toString('base64');
      return `module.exports = async () => {
  const bytes = Buffer.from('${wasm}', 'base64');
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
};
module.exports.initialize = () => {};\n`;
    },
  },
  {
    // A debugger's helper that starts a thread and interceptors by the paths they have on the build machine.
    name: 'worker/debug-replayer.js',
    path: /@temporalio[\\/]worker[\\/]lib[\\/]debug-replayer[\\/]index\.js$/,
    apply(source, path) {
      expectOnce(source, 'exports.startDebugReplayer = startDebugReplayer;', this.name);
      expectOnce(readFileSync(join(dirname(path), '../index.js'), 'utf8'), 'debug_replayer_1.', 'worker/index.js');
      return "exports.startDebugReplayer = () => { throw new Error('the debug replayer is not part of this build'); };\n";
    },
  },
  {
    // Bun has no promise hooks, so a stack trace query has no answer; nobody at a terminal needs to be told at every start.
    name: 'worker/vm-shared.js',
    path: /@temporalio[\\/]worker[\\/]lib[\\/]workflow[\\/]vm-shared\.js$/,
    apply(source) {
      const warning =
        "console.warn('v8.promiseHooks.createHook is not available; stack trace collection will be disabled.');";
      expectOnce(source, warning, this.name);
      return source.replace(warning, '');
    },
  },
];

function expectOnce(source: string, text: string, file: string): void {
  const count = source.split(text).length - 1;
  if (count !== 1)
    throw new Error(
      `temporal-plugin: ${file}: expected exactly one \`${text}\`, found ${count}; the SDK has changed, read it again`,
    );
}

function assertCheckedVersion(root: string, name: string): void {
  const { version } = createRequire(join(root, 'package.json'))(join(packageDirectory(root, name), 'package.json')) as {
    version: string;
  };
  if (!checkedVersions.test(version)) {
    throw new Error(
      `temporal-plugin: @temporalio/${name} ${version} has not been checked against ${String(checkedVersions)}`,
    );
  }
}

/** Directory of an SDK package as `root` resolves it. */
export function packageDirectory(root: string, name: string): string {
  return dirname(createRequire(join(root, 'package.json')).resolve(`@temporalio/${name}/package.json`));
}
