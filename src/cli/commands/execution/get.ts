// `kubiya execution get`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'show one execution' },
  scope: 'api',
  examples: [
    ['kubiya execution get $ID', 'its state and its answer'],
    ['kubiya execution get $ID --json | jq -r .response', 'only the answer'],
  ],
  args: { execution: { type: 'positional', description: 'id of the execution' }, json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    const found = await client.getExecution(args.execution);
    const shown = { ...found, status: found.status.toLowerCase() };
    // People are told only of what is wrong.
    await printThing(
      output,
      args.json || found.is_stuck === true ? shown : { ...shown, is_stuck: undefined },
      args.json,
    );
  },
});
