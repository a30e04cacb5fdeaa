// The modules that scripts/generate.ts writes for each build target; package.json maps `#generated/` to them.

declare module '#generated/workflow-bundle' {
  /** The code of src/worker/workflows for the workflow sandbox. */
  export const workflowBundle: string;
}

declare module '#generated/native-addon' {
  /** The native part of the Temporal SDK; `path` can be read with node:fs, `sha256` is of the file. */
  export const nativeAddon: { readonly path: string; readonly sha256: string; readonly bytes: number };
}

declare module '#generated/dev-server' {
  /** The Temporal dev server as zstd; `sha256` and `bytes` are of the executable. Null in a slim build. */
  export const devServer: {
    readonly path: string;
    readonly version: string;
    readonly sha256: string;
    readonly bytes: number;
  } | null;
}

declare module '#generated/node-worker' {
  /** The program of `--runtime node` as zstd; `sha256` and `bytes` are of the script. */
  export const nodeWorker: { readonly path: string; readonly sha256: string; readonly bytes: number };
}
