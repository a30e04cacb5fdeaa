// `kubiya team list`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { printList } from '../../table.ts';

export default defineCommand({
  meta: { description: 'list teams' },
  scope: 'api',
  examples: [
    ['kubiya team list', 'as a table'],
    ["kubiya team list --json | jq -r '.[].id'", 'ids only'],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    const teams = await client.listTeams();
    const names = new Map(
      teams.length === 0 || args.json ? [] : (await client.listAgents()).map(({ id, name }) => [id, name]),
    );
    await printList(
      output,
      teams,
      [
        { title: 'NAME', value: (row) => row.name },
        { title: 'ID', value: (row) => row.id },
        {
          title: 'MEMBERS',
          value: ({ configuration }) =>
            membersOf(configuration)
              .map((id) => names.get(id) ?? id)
              .join(', '),
        },
        { title: 'DESCRIPTION', value: (row) => row.description },
      ],
      args.json,
    );
  },
});

function membersOf(configuration: Readonly<Record<string, unknown>> | null | undefined): string[] {
  const members = configuration?.['member_ids'];
  return Array.isArray(members) ? members.map(String) : [];
}
