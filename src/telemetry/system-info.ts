// What a worker tells the control plane about its machine: real numbers, read in well under a millisecond, no child process.
import { readFileSync, statfsSync } from 'node:fs';
import { arch, availableParallelism, cpus, freemem, hostname, release, totalmem, type as osType } from 'node:os';
import type { SystemInfo } from '../protocol/control-plane.ts';

export interface SystemInfoOptions {
  readonly version: string;
  readonly workingDirectory: string;
  /** The disk that matters: where workspaces and logs are. */
  readonly dataDirectory: string;
}

export interface SystemInfoCollector {
  /** CPU use is that since the last call (the first one: since the machine started). Never throws. */
  collect(): SystemInfo;
}

export function createSystemInfoCollector(options: SystemInfoOptions): SystemInfoCollector {
  let before = { busy: 0, total: 0 };
  let percent = 0;
  return {
    collect: () => {
      const now = cpuTimes();
      const total = now.total - before.total;
      // The kernel counts in steps of 10 ms: two calls in one step tell nothing new.
      if (total > 0) percent = share(now.busy - before.busy, total);
      before = now;
      const memory = readMemory();
      const disk = readDisk(options.dataDirectory);
      return {
        hostname: hostname(),
        platform: `${process.platform}-${arch()}`,
        os_name: osType(),
        os_version: release(),
        cli_version: options.version,
        sdk_version: options.version,
        pid: process.pid,
        cwd: options.workingDirectory,
        cpu_count: availableParallelism(),
        cpu_percent: percent,
        memory_total: memory.total,
        memory_used: memory.used,
        memory_percent: share(memory.used, memory.total),
        ...(disk && { disk_total: disk.total, disk_used: disk.used, disk_percent: share(disk.used, disk.total) }),
        uptime_seconds: Math.round(process.uptime()),
      };
    },
  };
}

interface Amount {
  readonly total: number;
  readonly used: number;
}

function share(part: number, whole: number): number {
  return whole <= 0 ? 0 : Math.round((1000 * part) / whole) / 10;
}

function cpuTimes(): { readonly busy: number; readonly total: number } {
  let total = 0;
  let idle = 0;
  for (const { times } of cpus()) {
    total += times.user + times.nice + times.sys + times.idle + times.irq;
    idle += times.idle;
  }
  return { busy: total - idle, total };
}

/** The container's limit where there is one, else the machine; memory that the kernel gives back on demand is not used. */
function readMemory(): Amount {
  const limit = Number(readText('/sys/fs/cgroup/memory.max'));
  const current = Number(readText('/sys/fs/cgroup/memory.current'));
  const total = totalmem();
  if (limit > 0 && limit < total && current > 0) return { total: limit, used: current };
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(readText('/proc/meminfo') ?? '')?.[1];
  return { total, used: total - (available === undefined ? freemem() : Number(available) * 1024) };
}

function readDisk(path: string): Amount | undefined {
  try {
    const { blocks, bavail, bfree, bsize } = statfsSync(path);
    const used = (blocks - bfree) * bsize;
    // As df does: what is reserved for root is neither used nor ours.
    return { total: used + bavail * bsize, used };
  } catch {
    // The directory does not exist yet.
    return undefined;
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    // Not Linux, or not in a control group.
    return undefined;
  }
}
