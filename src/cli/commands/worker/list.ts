// `kubiya worker list`.
import type { ControlPlaneClient } from '../../../controlplane/client.ts';
import type { Queue, Worker } from '../../../protocol/control-plane.ts';
import { listWorkerPlaces } from '../../../supervisor/select.ts';
import { readWorkerStatus } from '../../../supervisor/status.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag, usage } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import type { Output } from '../../output.ts';
import { remoteWorkerColumns, workerListColumns } from '../../render/worker-status.ts';
import { printList } from '../../table.ts';

export default defineCommand({
  meta: { description: 'list the workers of this machine, or those that the control plane sees' },
  scope: 'api',
  examples: [
    ['kubiya worker list', 'every worker that has run here'],
    ["kubiya worker list --json | jq -r '.[] | select(.healthy | not) | .queue'", 'those that are not well'],
    ['kubiya worker list --remote --queue-id my-queue', 'the workers of a queue on any machine'],
  ],
  args: {
    remote: { type: 'switch', description: 'ask the control plane, which also knows those of other machines' },
    'queue-id': { type: 'text', alias: 'queue', valueName: 'id|name', description: 'with --remote: only this queue' },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig }) => {
    const queue = args['queue-id'];
    if (args.remote) return await listRemote(await connect(await loadConfig()), queue, output, args.json);
    if (queue !== undefined)
      throw usage(
        '--queue-id is for --remote',
        'flag_invalid',
        'see `kubiya worker status --queue-id …` for one worker here',
      );
    // What this machine knows needs no connection, and shows whatever its settings are.
    const { paths } = await loadConfig('home');
    const statuses = await Promise.all(listWorkerPlaces(paths.workersDirectory).map(readWorkerStatus));
    if (statuses.length === 0 && !args.json) return await output.note('no worker has run on this machine');
    await printList(output, statuses, workerListColumns(output.stdout, Date.now()), args.json);
  },
});

async function listRemote(
  client: ControlPlaneClient,
  wanted: string | undefined,
  output: Output,
  isJson: boolean,
): Promise<void> {
  const queues = await client.listQueues();
  const meant = wanted === undefined ? queues : [lookUp('queue', wanted, queues)];
  const found: { readonly queue: Queue; readonly workers: readonly Worker[] }[] = [];
  // One after the other: an account may have hundreds of queues, and its API a limit.
  for (const queue of meant) found.push({ queue, workers: await client.listQueueWorkers(queue.id) });
  if (isJson) {
    return await output.printJson(
      found.flatMap(({ queue, workers }) =>
        workers.map((worker) => ({ queue_id: queue.id, queue_name: queue.name, ...worker })),
      ),
    );
  }
  const inhabited = found.filter(({ workers }) => workers.length > 0);
  if (inhabited.length === 0) return await output.note('the control plane sees no worker');
  for (const [index, { queue, workers }] of inhabited.entries()) {
    const title = `${index === 0 ? '' : '\n'}queue ${output.stdout.foreign(queue.name)} (${output.stdout.foreign(queue.id)})`;
    await output.print(title);
    await printList(output, workers, remoteWorkerColumns(output.stdout, Date.now()), false);
  }
}
