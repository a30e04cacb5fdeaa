// `kubiya agent list`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { printList } from '../../table.ts';

export default defineCommand({
  meta: { description: 'list agents' },
  scope: 'api',
  examples: [
    ['kubiya agent list', 'as a table'],
    ["kubiya agent list --json | jq -r '.[].id'", 'ids only'],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printList(
      output,
      await client.listAgents(),
      [
        { title: 'NAME', value: (row) => row.name },
        { title: 'ID', value: (row) => row.id },
        { title: 'MODEL', value: (row) => row.model_id },
        { title: 'STATUS', value: (row) => row.status },
        { title: 'DESCRIPTION', value: (row) => row.description },
      ],
      args.json,
    );
  },
});
