// `kubiya job list`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { stateText, triggerText } from '../../job/show.ts';
import { printList } from '../../table.ts';

export default defineCommand({
  meta: { description: 'list jobs' },
  scope: 'api',
  examples: [
    ['kubiya job list', 'with their next and last runs'],
    [`kubiya job list --json | jq -r '.[] | select(.last_execution_status == "failed") | .name'`, 'those that failed'],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printList(
      output,
      await client.listJobs(),
      [
        { title: 'NAME', value: (job) => job.name },
        { title: 'TRIGGER', value: triggerText },
        { title: 'STATE', value: stateText },
        { title: 'RUNS BY', value: (job) => job.entity_name ?? job.entity_id },
        { title: 'NEXT', value: (job) => job.next_execution_at },
        { title: 'LAST', value: (job) => job.last_execution_status?.toLowerCase() },
        { title: 'ID', value: (job) => job.id },
      ],
      args.json,
    );
  },
});
