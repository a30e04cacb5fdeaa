// `kubiya queue delete`.
import { deleteCommand } from '../../nouns/delete.ts';

export default deleteCommand({
  noun: 'queue',
  list: (client) => client.listQueues(),
  remove: (client, id) => client.deleteQueue(id),
  details: 'A queue with live workers is not deleted; what waits in it is cancelled.',
});
