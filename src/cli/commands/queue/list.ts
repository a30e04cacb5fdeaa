// `kubiya queue list`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { printList } from '../../table.ts';

export default defineCommand({
  meta: { description: 'list worker queues' },
  scope: 'api',
  examples: [
    ['kubiya queue list', 'as a table'],
    ["kubiya queue list --json | jq -r '.[].id'", 'ids only'],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printList(
      output,
      await client.listQueues(),
      [
        { title: 'NAME', value: (row) => row.name },
        { title: 'ID', value: (row) => row.id },
        { title: 'STATUS', value: (row) => row.status },
        { title: 'WORKERS', value: (row) => row.active_workers },
        { title: 'DESCRIPTION', value: (row) => row.description },
      ],
      args.json,
    );
  },
});
