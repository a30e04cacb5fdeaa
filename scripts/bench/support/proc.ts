// What a running process has used so far, from /proc (Linux).
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ, which is 100 on every Linux that we build for. */
const tickMs = 10;

/** Time on a processor, of the process itself and not of children that it waited for. */
export function cpuMs(pid: number): number {
  const fields = statOf(pid);
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
}

/** The same of all children that have ended and were waited for: the tools of a worker. */
export function childrenCpuMs(pid: number): number {
  const fields = statOf(pid);
  return (Number(fields[13]) + Number(fields[14])) * tickMs;
}

export function residentMegabytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) / 1024;
}

/** The child of a process whose command line contains `text`. */
export function childOf(parent: number, text: string): number {
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      if (Number(statOf(Number(name))[1]) !== parent) continue;
      if (readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(text)) return Number(name);
    } catch {
      // It ended while we looked.
    }
  }
  throw new Error(`the process ${parent} has no child with ${text} in its command line`);
}

/** From the third field on: the second is a name in brackets that may hold anything. */
function statOf(pid: number): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}
