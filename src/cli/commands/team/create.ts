// `kubiya team create`.
import { createTeamSchema, teamSchema } from '../../../protocol/control-plane.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { fileFlag, readBody, requireFlags } from '../../nouns/body.ts';
import { teamFields, teamFlags } from '../../nouns/team.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'create a team' },
  scope: 'api',
  details: 'A team is a leader, which is told what you ask for, and agents to which it delegates.',
  examples: [
    [
      'kubiya team create --name release --member tester --member deployer --instructions "Test, then deploy"',
      'two agents under one leader',
    ],
    ['kubiya team create --file release.yaml --json', 'everything out of a file'],
  ],
  args: { ...teamFlags, file: fileFlag, json: jsonFlag },
  run: async ({ args, cwd, output, loadConfig }) => {
    requireFlags(args, ['name']);
    const client = await connect(await loadConfig());
    const flags = await teamFields(client, args);
    const body = await readBody({ schema: createTeamSchema, answer: teamSchema, file: args.file, cwd, flags });
    await printThing(output, await client.createTeam(body), args.json);
  },
});
