// `kubiya model list`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { printList } from '../../table.ts';

export default defineCommand({
  meta: { description: 'list models' },
  scope: 'api',
  examples: [
    ['kubiya model list', 'as a table'],
    ["kubiya model list --json | jq -r '.[].id'", 'ids only'],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printList(
      output,
      await client.listModels(),
      [
        { title: 'MODEL', value: (row) => row.value },
        { title: 'PROVIDER', value: (row) => row.provider },
        { title: 'ENABLED', value: (row) => row.enabled },
        { title: 'LABEL', value: (row) => row.label },
      ],
      args.json,
    );
  },
});
