// Runs the built binary where nothing of the checkout can be seen, as a user who is not root, in a place the test describes.
import {
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dir, '../..');

/** Far more than a cold run on a loaded machine takes. */
const runLimitMs = 90_000;

/** Root of the machine would own every file inside a namespace too: nobody begins it instead. */
const nobody = 65_534;
const isRoot = process.getuid?.() === 0;
const becomeNobody = isRoot ? ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', '--'] : [];

export interface Place {
  readonly directory: string;
  readonly binary: string;
  /** A directory of its own for each name, made when it is first asked for. */
  readonly folder: (name: string) => string;
  /** Runs the binary in a namespace. */
  readonly run: (args: readonly string[], options: RunOptions) => Promise<RunResult>;
  /** Programs of this place that still run. */
  readonly processes: () => string[];
  readonly remove: () => void;
}

export interface RunOptions {
  readonly cwd: string;
  /** The whole environment but PATH. */
  readonly environment: Readonly<Record<string, string>>;
  /** Shell commands that arrange the namespace's mounts; they run as its root. */
  readonly mounts?: readonly string[];
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Copies the binary out of the checkout into a temporary directory; remove it with `remove`. */
export function createPlace(): Place {
  const directory = mkdtempSync(join(tmpdir(), 'kubiya-binary-'));
  const binary = join(directory, 'kubiya');
  copyFileSync(join(root, 'dist/kubiya'), binary);
  giveAway(directory);
  return {
    directory,
    binary,
    folder(name) {
      const path = join(directory, name);
      if (!existsSync(path)) {
        mkdirSync(path);
        giveAway(path);
      }
      return path;
    },
    run: (args, options) => runHidden([binary, ...args], options),
    processes: () => programsBelow(directory),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

function giveAway(path: string): void {
  if (isRoot) chownSync(path, nobody, nobody);
}

async function runHidden(
  command: readonly string[],
  { cwd, environment, mounts = [] }: RunOptions,
): Promise<RunResult> {
  // An empty file system over the checkout; whoever looks for its files finds nothing, by whatever path.
  const hide = `[ ! -x '${root}' ] || mount -t tmpfs -o size=4k tmpfs '${root}'`;
  const arrange = ['mount --make-rprivate /', hide, ...mounts, `cd '${cwd}'`];
  // The inner namespace takes the rights away that the outer one needed for the mounts.
  const script = `set -e\n${arrange.join('\n')}\nexec unshare --user --map-user=1000 --map-group=1000 -- "$@"`;
  const enter = [...becomeNobody, 'unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', script, 'sh'];
  const child = Bun.spawn([...enter, ...command], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...environment },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: runLimitMs,
    killSignal: 'SIGKILL',
  });
  const [code, stdout, stderr] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  if (stderr.includes('unshare failed')) throw new Error(`this machine refuses user namespaces: ${stderr.trim()}`);
  return { code, stdout, stderr };
}

function programsBelow(directory: string): string[] {
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const link = `/proc/${pid}/exe`;
    try {
      const program = existsSync(`/proc/${pid}`) ? readlinkSync(link) : '';
      if (program.startsWith(directory)) found.push(`${pid} ${program}`);
    } catch {
      // It ended while we looked, or belongs to someone else.
    }
  }
  return found;
}
