// `kubiya team get`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'show one team' },
  scope: 'api',
  examples: [
    ['kubiya team get release', 'by its name or id'],
    ['kubiya team get release --json', 'everything the control plane knows about it'],
  ],
  args: { team: { type: 'positional', description: 'id or name of the team' }, json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printThing(output, lookUp('team', args.team, await client.listTeams()), args.json);
  },
});
