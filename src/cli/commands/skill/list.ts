// `kubiya skill list`.
import { defineCommand, jsonFlag } from '../../command.ts';
import { connect } from '../../connect.ts';
import { printList } from '../../table.ts';

export default defineCommand({
  scope: 'api',
  examples: [
    ['kubiya skill list', 'as a table'],
    ["kubiya skill list --json | jq -r '.[].id'", 'ids only'],
  ],
  flags: { json: jsonFlag },
  arguments: {},
  run: async ({ flags }, { output, loadConfig }) => {
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
      flags.json,
    );
  },
});
