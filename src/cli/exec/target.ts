// Which agent or team and which queue an execution uses.
import type { Config } from '../../config/config.ts';
import type { ControlPlaneClient } from '../../controlplane/client.ts';
import { KubiyaError } from '../../errors.ts';
import type { Queue } from '../../protocol/control-plane.ts';
import { usage } from '../flags.ts';
import { lookUp, namesOf } from '../lookup.ts';

const defaultName = 'default';
/** Ids of agents everywhere: no look-up is needed to use one. */
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Who does it. */
export interface Entity {
  readonly kind: 'agent' | 'team';
  readonly id: string;
}

/** The agent or team of this id or name. */
export async function findEntity(client: ControlPlaneClient, kind: Entity['kind'], wanted: string): Promise<Entity> {
  if (uuidPattern.test(wanted)) return { kind, id: wanted };
  const all = await (kind === 'agent' ? client.listAgents() : client.listTeams());
  return { kind, id: lookUp(kind, wanted, all).id };
}

/** The names of `--queue a,b`; undefined when it was not given. */
export function queueNames(flag: string | undefined): readonly string[] | undefined {
  if (flag === undefined) return undefined;
  const names = flag.split(',').map((name) => name.trim());
  if (names.includes('')) throw usage('--queue has an empty name in its list', 'flag_invalid', 'write --queue a,b');
  return [...new Set(names)];
}

export async function findQueue(client: ControlPlaneClient, config: Config, wanted: string): Promise<Queue> {
  const queues = await listQueues(client, config);
  // Queues for one run are hidden from the lists, but their id is good.
  if (uuidPattern.test(wanted)) return queues.find(({ id }) => id === wanted) ?? (await client.getQueue(wanted));
  return lookUp('queue', wanted, queues);
}

export interface QueueChoice {
  /** Undefined when no worker polls any queue. */
  readonly staffed: Queue | undefined;
  /** Where an execution may wait for a worker. */
  readonly waiting: Queue | undefined;
}

/** The recommended one if a worker polls it, else the only one with a live worker, else `default`; an error when several would do. */
export async function chooseQueue(
  client: ControlPlaneClient,
  config: Config,
  recommended: string | undefined,
): Promise<QueueChoice> {
  const queues = await listQueues(client, config);
  const staffed = queues.filter((queue) => queue.active_workers > 0);
  const chosen =
    staffed.find(({ id }) => id === recommended) ??
    (staffed.length === 1 ? staffed[0] : staffed.find(({ name }) => name === defaultName));
  if (chosen === undefined && staffed.length > 0) {
    throw new KubiyaError(`which queue is meant is not clear: ${namesOf(staffed)}`, {
      kind: 'usage',
      code: 'queue_not_chosen',
      hint: 'choose one with --queue',
    });
  }
  return { staffed: chosen, waiting: queues.find(({ name }) => name === defaultName) };
}

/** Only those of one environment when the user named one. */
async function listQueues(client: ControlPlaneClient, config: Config): Promise<readonly Queue[]> {
  const origin = config.settings.find(({ name }) => name === 'environmentName')?.origin.kind;
  if (origin !== 'flag') return await client.listQueues();
  const environment = lookUp('environment', config.environmentName, await client.listEnvironments());
  return await client.listEnvironmentQueues(environment.id);
}
