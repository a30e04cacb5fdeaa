// Loads the native addon in a child of ours first, so that one that crashes takes nothing with it; remembers what came of it.
import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { release } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { messageOf } from '../errors.ts';
import { writeFileAtomic } from '../lib/atomic-file.ts';
import { createStderrSink } from '../telemetry/stderr.ts';
import { runBriefly } from './brief-run.ts';

/** The hidden first argument with which our binary loads an addon and ends. */
export const addonProbeArgument = '__probe-addon';

/** Loading takes 50 ms; a cold disk has to read 30 MB. */
const probeLimitMs = 30_000;
const memoryFileName = 'addon-probe.json';
const memorySchema = v.object({ key: v.string(), failure: v.nullable(v.string()) });

/** In the child: returns its exit code, unless the addon decides otherwise. */
export function runAddonProbe(path: string): number {
  try {
    createRequire(path)(path);
    return 0;
  } catch (error) {
    const stderr = createStderrSink();
    stderr.write(`${messageOf(error).split('\n')[0] ?? ''}\n`);
    stderr.close();
    return 1;
  }
}

export interface ProbeOptions {
  /** Our own program. */
  readonly executable: readonly string[];
  readonly addon: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** Why the addon cannot be loaded, as a clause; null when it can. Never rejects. */
export async function probeAddon({ executable, addon, environment }: ProbeOptions): Promise<string | null> {
  try {
    const command = [...executable, addonProbeArgument, addon];
    const { exit, isLate, stderr } = await runBriefly({ command, environment, limitMs: probeLimitMs });
    if (isLate) return `loading it takes more than ${probeLimitMs / 1000} s`;
    if (exit.signal !== null) return `loading it ends with ${exit.signal}`;
    if (exit.code === 0) return null;
    return stderr.trim().split('\n').at(-1) || `loading it ends with exit code ${exit.code ?? 'unknown'}`;
  } catch (error) {
    return `it could not be tried: ${messageOf(error)}`;
  }
}

export interface RememberedProbeOptions extends ProbeOptions {
  readonly cacheDirectory: string;
  /** Ask again although the answer is known (`KUBIYA_VERIFY`). */
  readonly mustVerify: boolean;
  /** Extracts the addon again if what is on the disk is not what it should be. */
  readonly repair: () => Promise<void>;
}

/** As `probeAddon`, but a process is started only when the addon, this binary, the kernel, the C library or the processor is another one. */
export async function addonFailure(options: RememberedProbeOptions): Promise<string | null> {
  const path = join(options.cacheDirectory, memoryFileName);
  const key = keyOf(options);
  const remembered = options.mustVerify ? undefined : recall(path);
  if (remembered?.key === key) return remembered.failure;
  let failure = await probeAddon(options);
  if (failure !== null) {
    await options.repair();
    failure = await probeAddon(options);
  }
  if (failure === null || lastingFailure.test(failure)) remember(path, { key, failure });
  return failure;
}

/** Said of this machine and this addon. A slow disk, a lack of processes or a noexec mount may be over at the next start. */
const lastingFailure = /ends with SIG(?:ILL|SEGV|BUS|FPE|TRAP|ABRT)$|GLIBC|undefined symbol/;

/** Everything on which it depends whether the addon can be loaded. */
function keyOf({ executable, addon }: ProbeOptions): string {
  const [program = ''] = executable;
  const file = statSync(program, { throwIfNoEntry: false });
  return JSON.stringify([addon, program, file?.size, file?.mtimeMs, release(), processor(), loadedLibc()]);
}

/** Which C library this process runs with: device, inode and path of its file. */
function loadedLibc(): string {
  try {
    return (
      /^\S+ \S+ \S+ (\S+ \d+ .*\/(?:libc[.-]|ld-musl)\S*)$/m.exec(readFileSync('/proc/self/maps', 'utf8'))?.[1] ?? ''
    );
  } catch {
    // Not Linux: there the C library comes with the system, whose release is in the key.
    return '';
  }
}

/** The model of the first one: an addon may use instructions that another one does not have. */
function processor(): string {
  try {
    // The whole file takes milliseconds on a large machine, because each core is asked for its frequency.
    const start = Buffer.alloc(1_024);
    const descriptor = openSync('/proc/cpuinfo', 'r');
    try {
      readSync(descriptor, start);
    } finally {
      closeSync(descriptor);
    }
    return /^model name\s*: (.*)$/m.exec(start.toString())?.[1] ?? '';
  } catch {
    // Not Linux.
    return '';
  }
}

function recall(path: string): v.InferOutput<typeof memorySchema> | undefined {
  try {
    return v.parse(memorySchema, JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    // None yet, or half of one: the question is asked again.
    return undefined;
  }
}

function remember(path: string, memory: v.InferOutput<typeof memorySchema>): void {
  try {
    writeFileAtomic(path, JSON.stringify(memory));
  } catch {
    // A full disk costs the next start a tenth of a second.
  }
}
