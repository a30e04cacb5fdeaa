// `kubiya job get`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { findJob } from '../../job/flags.ts';
import { printJob } from '../../job/show.ts';

export default defineCommand({
  meta: { description: 'show one job' },
  scope: 'api',
  examples: [
    ['kubiya job get nightly', 'by its name or id'],
    ['kubiya job get nightly --json | jq -r .next_execution_at', 'when it runs next'],
  ],
  args: { job: { type: 'positional', description: 'id or name of the job' }, json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printJob(output, await client.getJob((await findJob(client, args.job)).id), args.json);
  },
});
