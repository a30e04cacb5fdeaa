// Where an execution runs: on a queue with a worker, or on one that exists for it alone.
import type { Config } from '../../config/config.ts';
import { createControlPlaneClient, type ControlPlaneClient } from '../../controlplane/client.ts';
import { KubiyaError } from '../../errors.ts';
import { createFetch } from '../../lib/network.ts';
import type { Queue } from '../../protocol/control-plane.ts';
import type { Output } from '../output.ts';
import { chooseModel } from './choose-model.ts';
import type { Interrupts } from './interrupts.ts';
import { chooseQueue, findQueue } from './target.ts';

/** What has to be taken down afterwards is in `stop`. */
export interface Place {
  readonly client: ControlPlaneClient;
  readonly queueId: string;
  readonly queueName: string;
  readonly workerFailed?: Promise<string>;
  stop(): Promise<void>;
}

export interface PlaceDeps {
  readonly config: Config;
  readonly interrupts: Interrupts;
  readonly output: Output;
}

export interface QueueWish {
  /** As typed; undefined leaves the choice to us. */
  readonly names: readonly string[] | undefined;
  /** Id of the queue that a plan recommends. */
  readonly recommended?: string | undefined;
  /** False when nobody is left to run a worker, or a second start has to find the same queue. */
  readonly mayProvision: boolean;
}

/** One place for each queue that was named, else one. */
export async function findPlaces(
  client: ControlPlaneClient,
  { names, recommended, mayProvision }: QueueWish,
  deps: PlaceDeps,
): Promise<readonly Place[]> {
  const { config, output } = deps;
  if (names !== undefined) {
    const queues = await Promise.all(names.map((name) => findQueue(client, config, name)));
    return await Promise.all(queues.map((queue) => placeOn(client, queue, output)));
  }
  const { staffed, waiting } = await chooseQueue(client, config, recommended);
  if (staffed !== undefined) return [await placeOn(client, staffed, output)];
  if (mayProvision) return [await startPlace(client, deps)];
  if (waiting !== undefined) return [await placeOn(client, waiting, output)];
  throw new KubiyaError('there is no queue with a worker, and none named default', {
    kind: 'usage',
    code: 'queue_not_chosen',
    hint: 'create one with `kubiya queue create --name default`, or choose one with --queue',
  });
}

async function placeOn(client: ControlPlaneClient, queue: Queue, output: Output): Promise<Place> {
  if (queue.active_workers === 0) {
    await output.note(
      `no worker is polling the queue ${queue.name}, so the execution waits: \`kubiya worker start --queue-id ${queue.name}\` starts one`,
    );
  }
  return { client, queueId: queue.id, queueName: queue.name, stop: () => Promise.resolve() };
}

/** A queue and a worker of this command's own: on the control plane of `client`, else on a private one. */
export async function startPlace(client: ControlPlaneClient | undefined, deps: PlaceDeps): Promise<Place> {
  const { config, interrupts, output } = deps;
  const { startEphemeral } = await import('../../processes/ephemeral.ts');
  const start = (chosen: Config) =>
    startEphemeral(chosen, {
      signal: interrupts.signal,
      onProgress: (text) => void output.note(text),
      isOnDemand: client !== undefined,
    });
  const ephemeral = await start(config).catch(
    async (error: unknown) => await start(await chooseModel(error, config, { output, signal: interrupts.signal })),
  );
  const { url, token, queueId, queueName, failed: workerFailed } = ephemeral;
  const fetchAsConfigured = createFetch(config.network);
  return {
    client: createControlPlaneClient({ url, token, fetch: fetchAsConfigured, signal: interrupts.signal }),
    queueId,
    queueName,
    workerFailed,
    stop: () => ephemeral.stop(),
  };
}
