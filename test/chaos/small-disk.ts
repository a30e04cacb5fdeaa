// A file system of its own at one directory, small enough to be filled, seen only by programs that are run with its prefix.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tryKill } from '../support/binary.ts';

export interface SmallDisk {
  /** Words before a program that shall see it. */
  readonly prefix: readonly string[];
  /** Where this process finds what those programs see at `path`. */
  view(path: string): string;
  /** Takes every block that is left. */
  fill(): void;
  free(): void;
  close(): void;
}

export async function openSmallDisk(directory: string, sizeMegabytes: number): Promise<SmallDisk> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const mount = `mount -t tmpfs -o size=${sizeMegabytes}m,mode=700 tmpfs '${directory}' && echo $$ && exec sleep 86400`;
  const holder = spawn('unshare', ['--user', '--map-root-user', '--mount', 'sh', '-c', mount], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [first] = (await Promise.race([
    once(holder.stdout, 'data'),
    once(holder, 'exit').then(() => Promise.reject(new Error(`nothing could be mounted at ${directory}`))),
  ])) as [Buffer];
  const pid = Number(first.toString().trim());
  const view = (path: string): string => join(`/proc/${pid}/root`, path);
  const filler = view(join(directory, '.filler'));
  return {
    prefix: ['nsenter', '--preserve-credentials', '--user', '--mount', '--target', String(pid)],
    view,
    fill: () => {
      // Smaller and smaller, until not even a byte finds room.
      for (let bytes = 1 << 20; bytes >= 1;) {
        try {
          writeFileSync(filler, Buffer.alloc(bytes), { flag: 'a' });
        } catch {
          bytes = Math.floor(bytes / 4);
        }
      }
    },
    free: () => rmSync(filler, { force: true }),
    close: () => void tryKill(pid, 'SIGKILL'),
  };
}
