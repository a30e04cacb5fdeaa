// `kubiya team update`.
import { teamSchema, updateTeamSchema } from '../../../protocol/control-plane.ts';
import { defineCommand } from '../../command.ts';
import { connect } from '../../connect.ts';
import { jsonFlag } from '../../flags.ts';
import { lookUp } from '../../lookup.ts';
import { fileFlag, readBody, refuseEmpty } from '../../nouns/body.ts';
import { agentIds, teamFields, teamFlags } from '../../nouns/team.ts';
import { printThing } from '../../table.ts';

export default defineCommand({
  meta: { description: 'change a team' },
  scope: 'api',
  details: 'What is given replaces what was there; --add-member and --remove-member change one member each.',
  examples: [
    ['kubiya team update release --add-member auditor --remove-member tester', 'other members'],
    ['kubiya team update release --instructions "Deploy only on green"', 'what its leader is told'],
  ],
  args: {
    team: { type: 'positional', description: 'id or name of the team' },
    ...teamFlags,
    'add-member': { type: 'text', isRepeatable: true, valueName: 'id|name', description: 'agent to take in' },
    'remove-member': { type: 'text', isRepeatable: true, valueName: 'id|name', description: 'agent to take out' },
    file: fileFlag,
    json: jsonFlag,
  },
  run: async ({ args, cwd, output, loadConfig }) => {
    const client = await connect(await loadConfig());
    const current = lookUp('team', args.team, await client.listTeams());
    const flags = await teamFields(client, args);
    const body = await readBody({
      schema: updateTeamSchema,
      answer: teamSchema,
      file: args.file,
      cwd,
      flags,
      current,
    });
    const added = await agentIds(client, args['add-member']);
    const removed = await agentIds(client, args['remove-member']);
    if (added.length + removed.length === 0) refuseEmpty(body);
    if (Object.keys(body).length > 0) await client.updateTeam(current.id, body);
    for (const agent of added) await client.addTeamMember(current.id, agent);
    for (const agent of removed) await client.removeTeamMember(current.id, agent);
    await printThing(output, await client.getTeam(current.id), args.json);
  },
});
