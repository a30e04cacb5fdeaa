// Which agent and which queue an execution uses.
import type { Config } from '../../config/config.ts';
import type { ControlPlaneClient } from '../../controlplane/client.ts';
import { KubiyaError } from '../../errors.ts';
import type { Queue } from '../../protocol/control-plane.ts';
import { lookUp, namesOf } from '../lookup.ts';

const defaultName = 'default';
/** Ids of agents everywhere: no look-up is needed to use one. */
const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The named agent, else the one called `default`, else the only one. */
export async function findAgentId(client: ControlPlaneClient, wanted: string | undefined): Promise<string> {
  if (wanted !== undefined && uuidPattern.test(wanted)) return wanted;
  const agents = await client.listAgents();
  if (wanted !== undefined) return lookUp('agent', wanted, agents).id;
  const chosen = agents.find((agent) => agent.name === defaultName) ?? (agents.length === 1 ? agents[0] : undefined);
  if (chosen !== undefined) return chosen.id;
  throw new KubiyaError(
    agents.length === 0
      ? 'there is no agent yet'
      : `there is no agent "${defaultName}", and there are several: ${namesOf(agents)}`,
    {
      kind: 'usage',
      code: 'agent_not_chosen',
      hint:
        agents.length === 0
          ? 'create one with `kubiya agent create --name default`'
          : 'name one: `kubiya exec agent <name> "<prompt>"`',
    },
  );
}

/** The named queue, else the only one with a live worker, else `default`, else an error that lists them. */
export async function findQueue(
  client: ControlPlaneClient,
  config: Config,
  wanted: string | undefined,
): Promise<Queue> {
  const queues = await listQueues(client, config);
  if (wanted !== undefined) {
    // Queues for one run are hidden from the lists, but their id is good.
    if (uuidPattern.test(wanted)) return queues.find(({ id }) => id === wanted) ?? (await client.getQueue(wanted));
    return lookUp('queue', wanted, queues);
  }
  const staffed = queues.filter((queue) => queue.active_workers > 0);
  const chosen = staffed.length === 1 ? staffed[0] : queues.find((queue) => queue.name === defaultName);
  if (chosen !== undefined) return chosen;
  const list =
    queues.length === 0
      ? 'there is no queue yet'
      : `which queue is meant is not clear: ${namesOf(staffed.length > 1 ? staffed : queues)}`;
  throw new KubiyaError(list, {
    kind: 'usage',
    code: 'queue_not_chosen',
    hint: queues.length === 0 ? 'create one with `kubiya queue create --name default`' : 'choose one with --queue',
  });
}

/** Only those of one environment when the user named one. */
async function listQueues(client: ControlPlaneClient, config: Config): Promise<readonly Queue[]> {
  const origin = config.settings.find(({ name }) => name === 'environmentName')?.origin.kind;
  if (origin !== 'flag') return await client.listQueues();
  const environment = lookUp('environment', config.environmentName, await client.listEnvironments());
  return await client.listEnvironmentQueues(environment.id);
}
