// `kubiya agent delete`.
import { deleteCommand } from '../../nouns/delete.ts';

export default deleteCommand({
  noun: 'agent',
  list: (client) => client.listAgents(),
  remove: (client, id) => client.deleteAgent(id),
});
