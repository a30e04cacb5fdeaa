// Whether a port is the one that a certain process listens on, and not a stranger's that took it first.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The state of a listening socket in /proc/net/tcp. */
const listenState = '0A';

/** Undefined where the system does not say: without /proc, or when the process is gone or somebody else's. */
export function isListeningOn(pid: number, port: number): boolean | undefined {
  try {
    const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
    const inodes = new Set(
      ['tcp', 'tcp6'].flatMap((table) =>
        (readText(`/proc/${pid}/net/${table}`) ?? '').split('\n').flatMap((line) => {
          const words = line.trim().split(/\s+/);
          return words[1]?.endsWith(wanted) === true && words[3] === listenState ? [`socket:[${words[9]}]`] : [];
        }),
      ),
    );
    return readdirSync(`/proc/${pid}/fd`).some((name) => inodes.has(linkOf(`/proc/${pid}/fd/${name}`)));
  } catch {
    return undefined;
  }
}

/** Null where there is no such table: a system without IPv6. */
function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

/** Empty for one that was closed in between. */
function linkOf(file: string): string {
  try {
    return readlinkSync(file);
  } catch {
    return '';
  }
}
