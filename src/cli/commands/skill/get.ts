// `kubiya skill get`.
import { defineCommand, jsonFlag } from '../../command.ts';
import { connect } from '../../connect.ts';
import { lookUp } from '../../lookup.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  scope: 'api',
  examples: [
    ['kubiya skill get shell', 'by its name or id'],
    ['kubiya skill get shell --json', 'everything the control plane knows about it'],
  ],
  flags: { json: jsonFlag },
  arguments: { skill: { description: 'id or name of the skill' } },
  run: async ({ flags, arguments: { skill: wanted } }, { output, loadConfig }) => {
    const client = await connect(await loadConfig());
    await printThing(output, lookUp('skill', wanted, await client.listSkills()), flags.json);
  },
});
