// `kubiya job enable` and `kubiya job disable`.
import { defineCommand, type Command } from '../command.ts';
import { connect } from '../connect.ts';
import { jsonFlag } from '../flags.ts';
import { findJob } from './flags.ts';

const verbs = {
  enable: { method: 'enableJob', description: 'let a job run at its times, and its webhook be called' },
  disable: { method: 'disableJob', description: 'hold a job; it can still be triggered by hand' },
} as const;

export function switchCommand(verb: keyof typeof verbs): Command {
  const { method, description } = verbs[verb];
  return defineCommand({
    meta: { description },
    scope: 'api',
    examples: [[`kubiya job ${verb} nightly`, description]],
    args: { job: { type: 'positional', description: 'id or name of the job' }, json: jsonFlag },
    run: async ({ args, output, loadConfig }) => {
      const client = await connect(await loadConfig());
      const job = await client[method]((await findJob(client, args.job)).id);
      if (args.json) return await output.printJson(job);
      const next = typeof job.next_execution_at === 'string' ? `, it runs next at ${job.next_execution_at}` : '';
      await output.note(output.stderr.foreign(`the job ${job.name} is ${job.enabled ? 'enabled' : 'disabled'}${next}`));
    },
  });
}
