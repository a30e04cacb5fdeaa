// What the control group of this process allows it: processors and memory, of version 1 and 2, with the limits of the groups around it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface ResourceLimits {
  /** Processors' worth of time; absent without a quota. */
  readonly cpus?: number;
  readonly memoryBytes?: number;
}

/** Version 1 writes "no limit" as the largest number of pages. */
const memoryBytesMax = 2 ** 50;

/** Nothing on systems without control groups. `root` is another place than `/` in a test. Never throws. */
export function readCgroupLimits(root = '/'): ResourceLimits {
  const cpus: number[] = [];
  const memory: number[] = [];
  for (const line of (readText(join(root, 'proc/self/cgroup')) ?? '').split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    const names = controllers.split(',');
    for (const group of groupsFrom(path)) {
      const at = (mount: string, file: string): string | undefined =>
        readText(join(root, 'sys/fs/cgroup', mount, group, file));
      if (controllers === '') {
        const [quota, period] = (at('', 'cpu.max') ?? '').split(' ').map(Number);
        cpus.push((quota ?? Number.NaN) / (period ?? Number.NaN));
        memory.push(Number(at('', 'memory.max')));
      }
      if (names.includes('cpu')) {
        const quota = Number(at(controllers, 'cpu.cfs_quota_us') ?? at('cpu', 'cpu.cfs_quota_us'));
        cpus.push(quota / Number(at(controllers, 'cpu.cfs_period_us') ?? at('cpu', 'cpu.cfs_period_us')));
      }
      if (names.includes('memory')) memory.push(Number(at(controllers, 'memory.limit_in_bytes')));
    }
  }
  const least = (values: readonly number[], max: number): number | undefined => {
    const real = values.filter((value) => value > 0 && value < max);
    return real.length === 0 ? undefined : Math.min(...real);
  };
  const [cpuLimit, memoryLimit] = [least(cpus, Number.POSITIVE_INFINITY), least(memory, memoryBytesMax)];
  return {
    ...(cpuLimit === undefined ? {} : { cpus: cpuLimit }),
    ...(memoryLimit === undefined ? {} : { memoryBytes: memoryLimit }),
  };
}

/** The group and those around it, up to the root; a container often sees its own group as the root, under the path that the host knows. */
function groupsFrom(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '..');
  return Array.from({ length: parts.length + 1 }, (_, count) => parts.slice(0, count).join('/'));
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    // No such controller, or no control groups at all.
    return undefined;
  }
}
