// `kubiya skill delete`.
import { deleteCommand } from '../../nouns/delete.ts';

export default deleteCommand({
  noun: 'skill',
  list: (client) => client.listSkills(),
  remove: (client, id) => client.deleteSkill(id),
  details: 'Agents, teams and environments that have it lose it.',
});
