// `kubiya job update`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag, usage } from '../../flags.ts';
import { checkJobFlags, findJob, jobFieldsOf, jobFlags } from '../../job/flags.ts';
import { printJob } from '../../job/show.ts';

export default defineCommand({
  meta: { description: 'change a job' },
  scope: 'api',
  details: 'What is not given stays as it is. A run that has begun goes on as it was.',
  examples: [
    ['kubiya job update nightly --cron "30 2 * * MON-FRI"', 'other times'],
    ['kubiya job update nightly --manual', 'no times any more: it runs only when it is triggered'],
    ['kubiya job update nightly --prompt-file prompt.md --name weekly', 'another prompt and name'],
  ],
  args: {
    job: { type: 'positional', description: 'id or name of the job' },
    name: { type: 'text', description: 'its new name' },
    ...jobFlags,
    manual: { type: 'switch', description: 'run only when it is triggered' },
    json: jsonFlag,
  },
  run: async ({ args, output, cwd, loadConfig }) => {
    checkJobFlags(args);
    if (args.manual && (args.cron !== undefined || args.every !== undefined || args.webhook))
      throw usage('--manual excludes --cron, --every and --webhook', 'flags_conflict', 'choose one of them');
    const config = await loadConfig();
    const client = await connect(config);
    const fields = {
      ...(await jobFieldsOf(args, { client, config, cwd })),
      ...(args.name === undefined ? {} : { name: args.name }),
      ...(args.manual ? { trigger_type: 'manual' as const } : {}),
    };
    if (Object.values(fields).every((value) => value === undefined))
      throw usage('nothing is to be changed', 'nothing_given', 'the same command with --help lists what can be');
    const { id, execution_environment: current } = await findJob(client, args.job);
    // Directory and time limit are two fields of one object, of which each can be given alone.
    const environment = fields.execution_environment;
    const merged = environment === undefined ? {} : { execution_environment: { ...current, ...environment } };
    await printJob(output, await client.updateJob(id, { ...fields, ...merged }), args.json);
  },
});
