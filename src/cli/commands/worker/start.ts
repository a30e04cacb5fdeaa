// `kubiya worker start`: a worker in the foreground.
import { defineCommand } from '../../command.ts';
import { usage } from '../../flags.ts';
import { processIo } from '../../process-io.ts';

export default defineCommand({
  meta: { description: 'start a worker in the foreground' },
  scope: 'worker',
  details:
    'Without KUBIYA_API_KEY it uses the running local server, or starts one of its own that ends with it.\n' +
    'The first signal drains, the second cancels running work, the third leaves at once.',
  examples: [
    ['kubiya worker start --queue-id my-queue --type local', 'on this machine, with no account'],
    [
      'KUBIYA_API_KEY=… kubiya worker start --queue-id 4f0c6f5e-5b0e-4a0e-9d1c-0d6f1c2b3a49',
      'on a queue of the Kubiya control plane',
    ],
    [
      'kubiya worker start --queue-id ci --model kubiya/offline --drain-timeout 2m',
      'without a language model, draining for two minutes',
    ],
  ],
  args: {},
  run: async ({ output, loadConfig }) => {
    const config = await loadConfig();
    if (config.worker.queue === undefined)
      throw usage('no queue is given', 'queue_missing', 'name it with --queue-id, or set QUEUE_ID');
    const { runWorkerProcess } = await import('../../../processes/worker.ts');
    return await runWorkerProcess(config, processIo(output));
  },
});
