// `kubiya execution list`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
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
  ],
  args: {
    status: { type: 'choice', choices: executionStatuses, description: 'only those in this state' },
    agent: { type: 'text', valueName: 'id|name', description: 'only those of this agent' },
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
    const client = await connect(await loadConfig());
    const agentId = args.agent === undefined ? undefined : lookUp('agent', args.agent, await client.listAgents()).id;
    const executions = await client.listExecutions({
      limit: args.limit ?? limitDefault,
      status: args.status,
      agentId,
    });
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
