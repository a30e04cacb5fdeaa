// `kubiya environment delete`.
import { deleteCommand } from '../../nouns/delete.ts';

export default deleteCommand({
  noun: 'environment',
  list: (client) => client.listEnvironments(),
  remove: (client, id) => client.deleteEnvironment(id),
});
