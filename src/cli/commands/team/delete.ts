// `kubiya team delete`.
import { deleteCommand } from '../../nouns/delete.ts';

export default deleteCommand({
  noun: 'team',
  list: (client) => client.listTeams(),
  remove: (client, id) => client.deleteTeam(id),
  details: 'Its members stay.',
});
