// Decides which program hosts the Temporal SDK with its native addon: this binary, or Node (`--runtime`).
import type { Config } from '../config/config.ts';
import { setNativeAddon } from '../worker/addon-path.ts';
import { extractNativeAddon } from '../worker/native.ts';
import { startHostedWorker, type TemporalEngine } from './worker-deps.ts';

/** Makes the native addon available and loads the Temporal worker; begin it before anything else, await it last. */
export async function loadTemporalWorker(config: Config): Promise<TemporalEngine> {
  const addon = await extractNativeAddon(config.paths.cacheDirectory, { mustVerify: config.mustVerifyCache });
  return await loadHere(addon);
}

async function loadHere(addon: string): Promise<TemporalEngine> {
  setNativeAddon(addon);
  const { startWorker: start } = await import('../worker/run.ts');
  return { startWorker: (session, host, signal) => startHostedWorker({ start, session, host }, signal) };
}
