// `kubiya job rotate-secret`.
import { defineCommand } from '../../command.ts';
import { mayDo } from '../../confirm.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { findJob } from '../../job/flags.ts';
import { printJob } from '../../job/show.ts';

export default defineCommand({
  meta: { description: 'give the webhook of a job a new secret' },
  scope: 'api',
  details: 'What is signed with the old secret is refused from then on.',
  examples: [
    ['kubiya job rotate-secret triage', 'asks first'],
    ['kubiya job rotate-secret triage --yes --json | jq -r .webhook_secret', 'for scripts'],
  ],
  args: {
    job: { type: 'positional', description: 'id or name of the job' },
    yes: { type: 'switch', alias: 'y', description: 'do not ask' },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    const { id, name } = await findJob(client, args.job);
    const question = `Make the secret of the webhook of ${output.stderr.foreign(name)} worthless and print a new one?`;
    if (!(await mayDo(output, { doing: 'replacing a secret', question, isYes: args.yes })))
      return await output.note('nothing was done');
    await printJob(output, await client.rotateJobSecret(id), args.json);
  },
});
