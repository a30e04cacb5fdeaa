// `kubiya environment list`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { printList } from '../../table.ts';

export default defineCommand({
  meta: { description: 'list environments' },
  scope: 'api',
  examples: [
    ['kubiya environment list', 'as a table'],
    ["kubiya environment list --json | jq -r '.[].id'", 'ids only'],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printList(
      output,
      await client.listEnvironments(),
      [
        { title: 'NAME', value: (row) => row.name },
        { title: 'ID', value: (row) => row.id },
        { title: 'STATUS', value: (row) => row.status },
        { title: 'WORKERS', value: (row) => row.active_workers },
      ],
      args.json,
    );
  },
});
