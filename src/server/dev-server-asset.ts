// Finds the Temporal dev server to run: the one this binary carries, or in a slim build the one on the PATH.
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { devServer } from '#generated/dev-server';
import { KubiyaError } from '../errors.ts';
import { extractAsset } from '../lib/extract-asset.ts';

export interface DevServerAssetOptions {
  /** `PATH`, where a slim build looks for `temporal`. */
  readonly searchPath?: string | undefined;
  /** Hash the cached server even if it is unchanged since it was last verified (`KUBIYA_VERIFY`). */
  readonly mustVerify?: boolean;
}

/**
 * Path of an executable `temporal`, extracted into `<cacheDirectory>/temporal` if it is not there. Throws `KubiyaError` with code
 * `cache_unwritable`, `cache_not_executable` or `dev_server_missing`.
 */
export async function ensureDevServer(cacheDirectory: string, options: DevServerAssetOptions = {}): Promise<string> {
  if (devServer === null) return findOnPath(options.searchPath ?? '');
  const { path, sha256, bytes } = devServer;
  return extractAsset({
    directory: join(cacheDirectory, 'temporal'),
    name: 'temporal',
    suffix: '',
    sha256,
    bytes,
    open: () => Bun.file(path).stream().pipeThrough(new DecompressionStream('zstd')),
    mustVerify: options.mustVerify ?? false,
  });
}

function findOnPath(searchPath: string): string {
  const name = process.platform === 'win32' ? 'temporal.exe' : 'temporal';
  // An empty or relative entry would mean a directory that the current project chooses.
  const candidates = searchPath
    .split(delimiter)
    .filter((directory) => isAbsolute(directory))
    .map((directory) => join(directory, name));
  const found = candidates.find(isExecutable);
  if (found !== undefined) return found;
  throw new KubiyaError('This build carries no Temporal server and there is no temporal on the PATH', {
    kind: 'configuration',
    code: 'dev_server_missing',
    hint: 'install the Temporal CLI (https://docs.temporal.io/cli), or use a build that carries it',
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
