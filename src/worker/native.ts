// Puts the native addon of the Temporal SDK into a cache that we check, whoever loads it then: this process, a probe or Node.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nativeAddon } from '#generated/native-addon';
import { extractAsset } from '../lib/extract-asset.ts';

export interface NativeAddonOptions {
  /** Hash the cached addon even if it is unchanged since it was last verified (`KUBIYA_VERIFY`). */
  readonly mustVerify?: boolean;
}

/**
 * Extracts the addon into `<cacheDirectory>/native` if it is not there or wrong, and returns its path, which names its digest.
 * Throws `KubiyaError` with code `cache_unwritable` or `cache_not_executable`.
 */
export function extractNativeAddon(cacheDirectory: string, options: NativeAddonOptions = {}): Promise<string> {
  return extractAsset({
    directory: join(cacheDirectory, 'native'),
    name: 'temporal-core',
    suffix: '.node',
    sha256: nativeAddon.sha256,
    bytes: nativeAddon.bytes,
    // Of node:fs only this reads a file inside a binary.
    open: () => [readFileSync(nativeAddon.path)],
    mustVerify: options.mustVerify ?? false,
  });
}
