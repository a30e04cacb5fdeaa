// `kubiya job delete`.
import { defineCommand } from '../../command.ts';
import { mayDo } from '../../confirm.ts';
import { connect } from '../../connect.ts';
import { findJob } from '../../job/flags.ts';

export default defineCommand({
  meta: { description: 'delete a job' },
  scope: 'api',
  details: 'Its executions stay, and one that runs goes on. `job disable` keeps the job without running it.',
  examples: [
    ['kubiya job delete nightly', 'asks first'],
    ['kubiya job delete nightly --yes', 'for scripts'],
  ],
  args: {
    job: { type: 'positional', description: 'id or name of the job' },
    yes: { type: 'switch', alias: 'y', description: 'do not ask' },
  },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    const { id, name } = await findJob(client, args.job);
    const question = `Delete the job ${output.stderr.foreign(name)}?`;
    if (!(await mayDo(output, { doing: 'deleting a job', question, isYes: args.yes })))
      return await output.note('nothing was done');
    await client.deleteJob(id);
    await output.note(`the job ${output.stderr.foreign(name)} was deleted`);
  },
});
