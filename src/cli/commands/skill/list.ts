// `kubiya skill list`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { printList } from '../../table.ts';

export default defineCommand({
  meta: { description: 'list skills' },
  scope: 'api',
  examples: [
    ['kubiya skill list', 'as a table'],
    ["kubiya skill list --json | jq -r '.[].id'", 'ids only'],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printList(
      output,
      await client.listSkills(),
      [
        { title: 'NAME', value: (row) => row.name },
        { title: 'ID', value: (row) => row.id },
        { title: 'TYPE', value: (row) => row.type },
        { title: 'ENABLED', value: (row) => row.enabled },
        { title: 'DESCRIPTION', value: (row) => row.description },
      ],
      args.json,
    );
  },
});
