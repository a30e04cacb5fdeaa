// `kubiya model delete`.
import { deleteCommand } from '../../nouns/delete.ts';
import { namedModels } from '../../nouns/model.ts';

export default deleteCommand({
  noun: 'model',
  list: namedModels,
  remove: (client, id) => client.deleteModel(id),
  details: 'Only the record goes: agents that name it still run where a provider serves it.',
});
