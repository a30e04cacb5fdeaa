// Decides which program hosts the Temporal SDK with its native addon: this binary, or Node (`--runtime`).
import type { Config } from '../config/config.ts';
import { KubiyaError } from '../errors.ts';
import { baseEnvironment } from '../lib/spawn.ts';
import { setNativeAddon } from '../worker/addon-path.ts';
import { extractNativeAddon } from '../worker/native.ts';
import { addonUnloadable } from './addon-failure.ts';
import { ownExecutable } from './instance-scope.ts';
import { startHostedWorker, type TemporalEngine } from './worker-deps.ts';

/** Makes the native addon available and loads the Temporal worker; begin it before anything else, await it last. */
export async function loadTemporalWorker(config: Config): Promise<TemporalEngine> {
  const { paths, mustVerifyCache: mustVerify } = config;
  const { runtime } = config.worker;
  const addon = await extractNativeAddon(paths.cacheDirectory, { mustVerify });
  if (runtime === 'node') return await loadInNode(config, addon, undefined);
  const failure = await failureHere(config, addon);
  if (failure === null) return await loadHere(addon);
  if (runtime === 'auto') return await loadInNode(config, addon, failure);
  throw addonUnloadable(failure, 'try `--runtime node` with Node 20 or newer on the PATH, or use another machine');
}

async function failureHere(config: Config, addon: string): Promise<string | null> {
  const { addonFailure } = await import('./addon-probe.ts');
  const { cacheDirectory } = config.paths;
  return await addonFailure({
    executable: ownExecutable(),
    addon,
    environment: baseEnvironment(config.childEnvironmentBase.reveal()),
    cacheDirectory,
    mustVerify: config.mustVerifyCache,
    repair: async () => void (await extractNativeAddon(cacheDirectory, { mustVerify: true })),
  });
}

async function loadHere(addon: string): Promise<TemporalEngine> {
  setNativeAddon(addon);
  const { startWorker: start } = await import('../worker/run.ts');
  return { startWorker: (session, host, signal) => startHostedWorker({ start, session, host }, signal) };
}

/** `failure` is why the addon cannot be loaded here; undefined when Node was asked for. */
async function loadInNode(config: Config, addon: string, failure: string | undefined): Promise<TemporalEngine> {
  const { findNode, nodeMajorMin } = await import('./find-node.ts');
  const search = await findNode(baseEnvironment(config.childEnvironmentBase.reveal()));
  if (!search.ok) {
    const hint = `install Node ${nodeMajorMin} or newer and put it on the PATH`;
    if (failure !== undefined)
      throw addonUnloadable(`${failure}; and Node cannot do it, because ${search.reason}`, hint);
    throw new KubiyaError(`\`--runtime node\` needs Node ${nodeMajorMin} or newer, but ${search.reason}`, {
      kind: 'configuration',
      code: 'node_missing',
      hint: `${hint}, or use \`--runtime bun\``,
    });
  }
  const { extractNodeBundle } = await import('./node-bundle.ts');
  const { createNodeEngine } = await import('./node-engine.ts');
  const bundle = await extractNodeBundle(config.paths.cacheDirectory, { mustVerify: config.mustVerifyCache });
  const reason = failure === undefined ? undefined : `its native addon cannot be loaded into this binary: ${failure}`;
  return createNodeEngine({ node: search.node, bundle, addon, reason });
}
