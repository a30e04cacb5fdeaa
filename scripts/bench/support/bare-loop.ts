// Builds and starts the bare worker, and runs its loop through Temporal's client.
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { build } from '../../build.ts';
import { hostTarget } from '../../targets.ts';
import type { Lab, Running, Server } from './lab.ts';

export interface BareLoop {
  readonly worker: Running;
  /** Runs one loop; returns the milliseconds between the beginnings of its turns. */
  run(turns: number): Promise<number[]>;
  close(): Promise<void>;
}

const taskQueue = 'bare';
const sources = resolve(import.meta.dir, '../bare');

export async function startBareLoop(lab: Lab, server: Server): Promise<BareLoop> {
  const bundlePath = join(lab.home, 'bare-workflow.js');
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(sources, 'workflow.ts'),
    logger: new DefaultLogger('ERROR'),
  });
  writeFileSync(bundlePath, code);
  const outfile = join(lab.home, 'bare-worker');
  await build({
    target: hostTarget(),
    outfile,
    devServerLevel: null,
    isFast: false,
    entryPoint: join(sources, 'worker.ts'),
  });
  const cacheDirectory = join(lab.home, 'cache');
  const worker = await lab.start([outfile, server.temporalAddress, taskQueue, bundlePath, cacheDirectory], (output) =>
    output.includes('ready'),
  );
  const connection = await Connection.connect({ address: server.temporalAddress });
  const client = new Client({ connection });
  let runs = 0;
  return {
    worker,
    run: async (turns) => {
      const times = await client.workflow.execute<(count: number) => Promise<number[]>>('bareLoop', {
        taskQueue,
        workflowId: `bare-${process.pid}-${runs++}`,
        args: [turns],
        workflowTaskTimeout: '3s',
      });
      return intervals(times);
    },
    close: () => connection.close(),
  };
}

export const intervals = (times: readonly number[]): number[] =>
  times.slice(1).map((time, index) => time - (times[index] ?? Number.NaN));
