// `kubiya queue list`.
import { defineCommand, jsonFlag } from '../../command.ts';
import { connect } from '../../connect.ts';
import { printList } from '../../table.ts';

export default defineCommand({
  scope: 'api',
  examples: [
    ['kubiya queue list', 'as a table'],
    ["kubiya queue list --json | jq -r '.[].id'", 'ids only'],
  ],
  flags: { json: jsonFlag },
  arguments: {},
  run: async ({ flags }, { output, loadConfig }) => {
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
      flags.json,
    );
  },
});
