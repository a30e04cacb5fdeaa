// Hands the Temporal SDK its native addon from a cache that we check, before anything imports `@temporalio/worker`.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nativeAddon } from '#generated/native-addon';
import { extractAsset } from '../lib/extract-asset.ts';

/** Read by the patched SDK (scripts/temporal-plugin.ts), in the workflow thread too: that is why it is an environment variable. */
const addonVariable = 'KUBIYA_INTERNAL_CORE_BRIDGE';

export interface NativeAddonOptions {
  /** Hash the cached addon even if it is unchanged since it was last verified (`KUBIYA_VERIFY`). */
  readonly mustVerify?: boolean;
}

/**
 * Extracts the addon into `<cacheDirectory>/native` if it is not there and tells the SDK where it is. Returns its path.
 * Throws `KubiyaError` with code `cache_unwritable` or `cache_not_executable`.
 */
export async function prepareNativeAddon(cacheDirectory: string, options: NativeAddonOptions = {}): Promise<string> {
  // An inherited value names foreign code to load.
  delete process.env[addonVariable];
  const path = await extractAsset({
    directory: join(cacheDirectory, 'native'),
    name: 'temporal-core',
    suffix: '.node',
    sha256: nativeAddon.sha256,
    bytes: nativeAddon.bytes,
    // Of node:fs only this reads a file inside a binary.
    open: () => [readFileSync(nativeAddon.path)],
    mustVerify: options.mustVerify ?? false,
  });
  process.env[addonVariable] = path;
  return path;
}
