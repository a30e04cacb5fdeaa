// The build's patches of the Temporal SDK: each refuses an SDK that it was not written for.
import { afterAll, describe, expect, test } from 'bun:test';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createTemporalPlugin, packageDirectory, patches } from '../../../scripts/temporal-plugin.ts';

const root = resolve(import.meta.dir, '../../..');
const scratch = mkdtempSync(join(tmpdir(), 'kubiya-plugin-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Where each patched module is, and what a changed SDK might have in place of the patched text. */
const modules: Readonly<
  Record<string, { readonly path: string; readonly change: readonly [from: string, to: string] }>
> = {
  'core-bridge/common.js': { path: '@temporalio/core-bridge/common.js', change: ['getPrebuiltPath,', 'getAddonPath,'] },
  'worker/threaded-vm.js': {
    path: '@temporalio/worker/lib/workflow/threaded-vm.js',
    change: [
      'exports.ThreadedVMWorkflowCreator = ThreadedVMWorkflowCreator',
      'exports.Threads = ThreadedVMWorkflowCreator',
    ],
  },
  'worker/bundler.js': {
    path: '@temporalio/worker/lib/workflow/bundler.js',
    change: ['class WorkflowCodeBundler', 'class Bundler'],
  },
  'worker/vm-shared.js': {
    path: '@temporalio/worker/lib/workflow/vm-shared.js',
    change: ['createHook is not available', 'createHook is missing'],
  },
  'source-map/read-wasm.js': { path: 'source-map/lib/read-wasm.js', change: ['mappings.wasm', 'map.wasm'] },
  'worker/debug-replayer.js': {
    path: '@temporalio/worker/lib/debug-replayer/index.js',
    change: ['exports.startDebugReplayer', 'exports.debugReplayer'],
  },
};

describe('every patch', () => {
  test('has a case here', () => {
    expect(patches.map((patch) => patch.name).toSorted()).toEqual(Object.keys(modules).toSorted());
  });

  for (const patch of patches) {
    const place = modules[patch.name];
    if (place === undefined) continue;
    const path = join(root, 'node_modules', place.path);
    const source = readFileSync(path, 'utf8');

    test(`${patch.name}: applies to the installed SDK and refuses a changed one`, () => {
      expect(path).toMatch(patch.path);
      const patched = patch.apply(source, path);
      expect(patched).not.toBe(source);
      expect(patched).not.toContain('__dirname');
      const changed = source.replaceAll(place.change[0], place.change[1]);
      expect(changed).not.toBe(source);
      expect(() => patch.apply(changed, path)).toThrow('the SDK has changed');
    });
  }
});

test('names that worker.js takes from the bundler are the known ones', () => {
  const directory = join(scratch, 'node_modules/@temporalio/worker/lib');
  cpSync(join(packageDirectory(root, 'worker'), 'lib/workflow/bundler.js'), join(directory, 'workflow/bundler.js'));
  writeFileSync(join(directory, 'worker.js'), 'bundler_1.WorkflowCodeBundler; bundler_1.somethingNew;');
  const path = join(directory, 'workflow/bundler.js');
  const patch = patches.find(({ name }) => name === 'worker/bundler.js');
  expect(() => patch?.apply(readFileSync(path, 'utf8'), path)).toThrow('somethingNew');
});

test('an SDK version that was not checked fails the build', () => {
  const directory = join(scratch, 'other');
  for (const name of ['worker', 'core-bridge', 'workflow', 'activity', 'client', 'common', 'proto']) {
    const place = join(directory, 'node_modules/@temporalio', name, 'package.json');
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(
      place,
      JSON.stringify({ name: `@temporalio/${name}`, version: name === 'client' ? '1.25.0' : '1.24.0' }),
    );
  }
  writeFileSync(join(directory, 'package.json'), '{}');
  expect(() => createTemporalPlugin(directory)).toThrow('@temporalio/client 1.25.0 has not been checked');
});

test('a build in which a patch was never applied fails', () => {
  expect(() => createTemporalPlugin(root).assertApplied()).toThrow('never applied: core-bridge/common.js');
});
