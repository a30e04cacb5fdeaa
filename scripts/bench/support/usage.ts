// CPU time of the three processes that an execution runs on, over a stretch of work.
import type { Running } from './lab.ts';
import { childOf, childrenCpuMs, cpuMs } from './proc.ts';

export interface CpuUsage {
  readonly worker: number;
  readonly server: number;
  readonly temporal: number;
  /** Shells and other children of the worker, which every peer pays as well. */
  readonly tools: number;
}

/** Milliseconds of CPU since this was called, divided by `count`. */
export function measureCpu(worker: Running, server: Running): (count: number) => CpuUsage {
  const temporal = childOf(server.pid, 'start-dev');
  const read = (): CpuUsage => ({
    worker: cpuMs(worker.pid),
    server: cpuMs(server.pid),
    temporal: cpuMs(temporal),
    tools: childrenCpuMs(worker.pid),
  });
  const before = read();
  return (count) => {
    const after = read();
    return {
      worker: (after.worker - before.worker) / count,
      server: (after.server - before.server) / count,
      temporal: (after.temporal - before.temporal) / count,
      tools: (after.tools - before.tools) / count,
    };
  };
}

export const total = ({ worker, server, temporal }: CpuUsage): number => worker + server + temporal;
