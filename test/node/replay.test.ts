// Every recorded history replays in Node as it does in the binary: an execution may go on under the other runtime.
import { afterAll, expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildForNode } from '../../scripts/bundle-node.ts';
import { bundleWorkflows } from '../../scripts/bundle-workflows.ts';
import { root } from '../../scripts/generate.ts';
import { hostTarget } from '../../scripts/targets.ts';
import { packageDirectory } from '../../scripts/temporal-plugin.ts';
import { historiesDirectory } from '../replay/fixtures.ts';
import type { Replay } from './replayer.fixture.ts';

const directory = mkdtempSync(join(tmpdir(), 'kubiya-replay-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const histories = readdirSync(historiesDirectory)
  .filter((name) => name.endsWith('.json'))
  .map((name) => join(historiesDirectory, name));

async function replayInNode(paths: readonly string[]): Promise<readonly Replay[]> {
  const [script, output] = [join(directory, 'replayer.mjs'), join(directory, 'replays.json')];
  const workflowBundle = await bundleWorkflows(root, join(root, '.cache/workflows'));
  const entryPoint = join(import.meta.dir, 'replayer.fixture.ts');
  writeFileSync(script, await buildForNode({ root, entryPoint, workflowBundle }));
  const addon = join(packageDirectory(root, 'core-bridge'), 'releases', hostTarget().addon, 'index.node');
  const { stderr, status } = spawnSync('node', [script, output, ...paths], {
    env: { PATH: process.env['PATH'] ?? '', KUBIYA_INTERNAL_CORE_BRIDGE: addon },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the replayer ended with ${status}: ${stderr}`);
  return JSON.parse(readFileSync(output, 'utf8')) as Replay[];
}

test('every history replays, and one that this workflow cannot have written is refused', async () => {
  const foreign = join(directory, 'foreign.json');
  const completed = histories.find((path) => path.endsWith('/v1-completed.json')) ?? '';
  writeFileSync(foreign, readFileSync(completed, 'utf8').replaceAll('"callTool"', '"callAnother"'));
  const replays = await replayInNode([...histories, foreign]);
  expect(histories.length).toBeGreaterThanOrEqual(5);
  expect(replays.map(({ version }) => Number(/^v(\d+)/.exec(version)?.[1]) >= 20)).not.toContain(false);
  expect(replays.filter(({ failure }) => failure !== undefined)).toEqual([
    { path: foreign, version: expect.any(String), failure: expect.stringContaining('Nondeterminism') },
  ]);
  expect(replays.map(({ path }) => path)).toEqual([...histories, foreign]);
}, 60_000);
