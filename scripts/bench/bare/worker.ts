// A Temporal worker without an agent, compiled like ours and with our settings: what a turn of ours is compared to.
import { readFileSync } from 'node:fs';
import { setNativeAddon } from '../../../src/worker/addon-path.ts';
import { extractNativeAddon } from '../../../src/worker/native.ts';
import { connectionTuning, workerTuning } from '../../../src/worker/tuning.ts';
import * as activities from './activities.ts';

const [, , address = '', taskQueue = '', bundlePath = '', cacheDirectory = ''] = process.argv;

setNativeAddon(await extractNativeAddon(cacheDirectory));
const { DefaultLogger, NativeConnection, Runtime, Worker } = await import('@temporalio/worker');
Runtime.install({
  logger: new DefaultLogger('ERROR'),
  telemetryOptions: { logging: { forward: {}, filter: 'ERROR' } },
});
const worker = await Worker.create({
  connection: await NativeConnection.connect({ address, ...connectionTuning(true) }),
  namespace: 'default',
  taskQueue,
  workflowBundle: { code: readFileSync(bundlePath, 'utf8') },
  activities,
  maxConcurrentActivityTaskExecutions: 10,
  maxConcurrentWorkflowTaskExecutions: 10,
  ...workerTuning(true),
});
console.log('ready');
await worker.run();
