// `kubiya config delete-context`.
import { defineCommand } from '../../command.ts';
import { jsonFlag } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'remove a context from the context file' },
  scope: 'contexts',
  details: 'Its user and the token of that user stay, because other contexts may have the same user.',
  examples: [['kubiya config delete-context staging', 'and nothing else']],
  args: { name: { type: 'positional', description: 'name of the context' }, json: jsonFlag },
  run: async ({ args: { name, json }, output, loadConfig }) => {
    const { changeContexts } = await import('../../../processes/contexts.ts');
    const { wasCurrent } = await changeContexts(await loadConfig(), (contexts) => contexts.remove(name));
    if (json) return await output.printJson({ name, was_current: wasCurrent });
    await output.note(`the context ${name} is removed`);
    if (wasCurrent) await output.note('it was the current one; `kubiya config use-context` chooses another');
  },
});
