// `kubiya execution list`.
import type { ControlPlaneClient, ListExecutions } from '../../../controlplane/client.ts';
import type { Execution } from '../../../protocol/control-plane.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag, usage } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { executionStatuses } from '../../../protocol/workflow.ts';
import { printList } from '../../table.ts';

const limitDefault = 20;
/** The most that one line of a terminal can take of a prompt beside the other columns. */
const promptCharactersMax = 50;

export default defineCommand({
  meta: { description: 'list executions, newest first' },
  scope: 'api',
  examples: [
    ['kubiya execution list', 'the newest twenty'],
    ['kubiya execution list --status failed --agent reviewer --limit 100 --json', 'what went wrong, for programs'],
    ['kubiya execution list --type team --queue ci', 'those of teams on one queue'],
  ],
  args: {
    status: { type: 'choice', choices: executionStatuses, description: 'only those in this state' },
    agent: { type: 'text', valueName: 'id|name', description: 'only those of this agent' },
    team: { type: 'text', valueName: 'id|name', description: 'only those of this team' },
    type: { type: 'choice', choices: ['agent', 'team'], description: 'only those of agents, or of teams' },
    queue: { type: 'text', valueName: 'id|name', description: 'only those on this queue' },
    limit: {
      type: 'integer',
      min: 1,
      max: 1000,
      valueName: 'count',
      defaultText: String(limitDefault),
      description: 'how many',
    },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig }) => {
    const { agent, team, queue, status, type } = args;
    if (agent !== undefined && team !== undefined)
      throw usage('--agent and --team exclude each other', 'flags_contradict', 'leave out one');
    const client = await connect(await loadConfig());
    const filter = {
      status,
      agentId: agent === undefined ? undefined : lookUp('agent', agent, await client.listAgents()).id,
      teamId: team === undefined ? undefined : lookUp('team', team, await client.listTeams()).id,
      type,
      queueId: queue === undefined ? undefined : lookUp('queue', queue, await client.listQueues()).id,
    };
    const executions = await listUpTo(client, filter, args.limit ?? limitDefault);
    await printList(
      output,
      executions,
      [
        { title: 'ID', value: (row) => row.id },
        { title: 'STATUS', value: (row) => `${row.status.toLowerCase()}${row.is_stuck === true ? ' (stuck)' : ''}` },
        { title: 'AGENT', value: (row) => row.entity_name ?? row.entity_id },
        { title: 'CREATED', value: (row) => row.created_at },
        {
          title: 'PROMPT',
          value: (row) =>
            row.prompt.length > promptCharactersMax ? `${row.prompt.slice(0, promptCharactersMax)}…` : row.prompt,
        },
      ],
      args.json,
    );
  },
});

/** A control plane gives so many at once. */
const pageCountMax = 200;

async function listUpTo(client: ControlPlaneClient, filter: ListExecutions, limit: number): Promise<Execution[]> {
  const found: Execution[] = [];
  while (found.length < limit) {
    const wanted = Math.min(limit - found.length, pageCountMax);
    const skip = found.length === 0 ? undefined : found.length;
    const page = await client.listExecutions({ ...filter, skip, limit: wanted });
    found.push(...page);
    if (page.length < wanted) break;
  }
  return found;
}
