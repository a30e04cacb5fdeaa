// Puts the program that Node runs for us into the cache.
import { join } from 'node:path';
import { nodeWorker } from '#generated/node-worker';
import { extractAsset } from '../lib/extract-asset.ts';

/** Its absolute path. Throws `KubiyaError` with code `cache_unwritable` or `cache_not_executable`. */
export function extractNodeBundle(cacheDirectory: string, options: { readonly mustVerify: boolean }): Promise<string> {
  const { path, sha256, bytes } = nodeWorker;
  return extractAsset({
    directory: join(cacheDirectory, 'node'),
    name: 'node-worker',
    suffix: '.mjs',
    sha256,
    bytes,
    open: () => Bun.file(path).stream().pipeThrough(new DecompressionStream('zstd')),
    mustVerify: options.mustVerify,
  });
}
