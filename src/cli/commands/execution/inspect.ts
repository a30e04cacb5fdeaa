// `kubiya execution inspect`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { inspectionText } from '../../render/inspection.ts';

export default defineCommand({
  meta: { description: 'show what an execution is doing, and why it is not' },
  scope: 'api',
  details:
    'Its pending calls with attempts, failures and heartbeats, its workflow task, who takes work from its queue, and what ' +
    'the journals of this machine have of it.',
  examples: [
    ['kubiya execution inspect $ID', 'for people'],
    ['kubiya execution inspect $ID --json | jq -r .inspection.waits_for', 'only what it waits for'],
  ],
  args: { execution: { type: 'positional', description: 'id of the execution' }, json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const config = await loadConfig();
    const client = await connect(config);
    const { inspectExecution } = await import('../../../processes/execution-inspection.ts');
    const found = await inspectExecution(config, client, args.execution);
    if (args.json) return await output.printJson(found);
    await output.stdout.write(inspectionText(found, output.stdout, Date.now()));
    if (found.inspection === null)
      await output.note(
        `${client.url} cannot be asked more: only the control plane of \`kubiya server\` looks into Temporal`,
      );
  },
});
