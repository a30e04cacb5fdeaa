// `kubiya skill get`.
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'show one skill' },
  scope: 'api',
  examples: [
    ['kubiya skill get shell', 'by its name or id'],
    ['kubiya skill get shell --json', 'everything the control plane knows about it'],
  ],
  args: { skill: { type: 'positional', description: 'id or name of the skill' }, json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printThing(output, lookUp('skill', args.skill, await client.listSkills()), args.json);
  },
});
