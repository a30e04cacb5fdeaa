// `kubiya worker status`.
import { KubiyaError } from '../../../errors.ts';
import { type InstancePlace, selectWorkerPlace } from '../../../supervisor/select.ts';
import { readWorkerStatus } from '../../../supervisor/status.ts';
import { defineCommand } from '../../command.ts';
import { jsonFlag } from '../../flags.ts';
import { workerStatusText } from '../../render/worker-status.ts';

export default defineCommand({
  meta: { description: 'show what a worker of this machine is doing' },
  scope: 'here',
  details: 'Exit code 0 when it is running and healthy, else 1. Without a queue the only worker here is meant.',
  examples: [
    ['kubiya worker status', 'the only worker here'],
    ['kubiya worker status --queue-id my-queue', 'that of a queue, by its name or its id'],
    ['kubiya worker status --queue-id my-queue --json | jq -r .state', 'for programs'],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const { paths, worker } = await loadConfig();
    const status = await readWorkerStatus(selectPlace(paths.workersDirectory, worker.queue));
    if (args.json) await output.printJson(status);
    else await output.print(workerStatusText(status, output.stdout, Date.now()));
    return status.healthy ? 0 : 1;
  },
});

/** "No such worker" is an answer here, and not the refusal (exit 4) that it is to a command that wants to do something to it. */
function selectPlace(workersDirectory: string, queue: string | undefined): InstancePlace {
  try {
    return selectWorkerPlace(workersDirectory, queue);
  } catch (error) {
    if (!(error instanceof KubiyaError) || error.code !== 'worker_not_found') throw error;
    const { message, code, hint } = error;
    throw new KubiyaError(message, { kind: 'agent_failed', code, hint, cause: error });
  }
}
