// `kubiya job create`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag, usage } from '../../flags.ts';
import { checkJobFlags, jobFieldsOf, jobFlags } from '../../job/flags.ts';
import { printJob } from '../../job/show.ts';

export default defineCommand({
  meta: { description: 'create a job: a prompt that runs at times, or when its webhook is called' },
  scope: 'api',
  details:
    'Without --cron, --every and --webhook it runs only when it is triggered. A run is not begun while the last one goes on (--overlap). ' +
    'Times pass while the local server is not running: of those it begins at most the ones of the last minute (--catch-up).',
  examples: [
    [
      'kubiya job create --name nightly --cron "0 3 * * *" --timezone Europe/Berlin --agent reviewer --prompt "review what changed"',
      'every night',
    ],
    ['kubiya job create --name disk --every 15m --prompt "check the disks" --timeout 5m', 'again and again'],
    [
      'kubiya job create --name triage --webhook --team support --prompt "look at {{.body.issue.title}}"',
      'prints a URL and a secret',
    ],
  ],
  args: {
    name: { type: 'text', required: true, description: 'name of the job' },
    ...jobFlags,
    disabled: { type: 'switch', description: 'do not run it before `job enable`' },
    json: jsonFlag,
  },
  run: async ({ args, output, cwd, loadConfig }) => {
    checkJobFlags(args);
    if (args.prompt === undefined && args['prompt-file'] === undefined)
      throw usage('the prompt is missing', 'prompt_missing', 'give it with --prompt, --prompt - or --prompt-file');
    const config = await loadConfig();
    const client = await connect(config);
    const fields = await jobFieldsOf(args, { client, config, cwd });
    await printJob(output, await client.createJob({ ...fields, name: args.name, enabled: !args.disabled }), args.json);
  },
});
