// `kubiya job history`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { formatDuration } from '../../../lib/duration.ts';
import { jsonFlag } from '../../flags.ts';
import { findJob } from '../../job/flags.ts';
import { printList } from '../../table.ts';

const limitDefault = 20;

export default defineCommand({
  meta: { description: 'list the executions of a job, newest first' },
  scope: 'api',
  examples: [
    ['kubiya job history nightly', 'the newest twenty'],
    [
      'kubiya exec attach $(kubiya job history nightly --limit 1 --json | jq -r ".[0].execution_id")',
      'follow the last',
    ],
  ],
  args: {
    job: { type: 'positional', description: 'id or name of the job' },
    limit: {
      type: 'integer',
      min: 1,
      max: 200,
      valueName: 'count',
      defaultText: String(limitDefault),
      description: 'how many',
    },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    const { id } = await findJob(client, args.job);
    await printList(
      output,
      await client.listJobExecutions(id, { limit: args.limit ?? limitDefault }),
      [
        { title: 'EXECUTION', value: (run) => run.execution_id },
        { title: 'STATUS', value: (run) => run.status.toLowerCase() },
        { title: 'TRIGGER', value: (run) => run.trigger_type },
        { title: 'CREATED', value: (run) => run.created_at },
        {
          title: 'DURATION',
          value: (run) => (typeof run.duration_ms === 'number' ? formatDuration(run.duration_ms) : undefined),
        },
        { title: 'ERROR', value: (run) => run.error_message },
      ],
      args.json,
    );
  },
});
