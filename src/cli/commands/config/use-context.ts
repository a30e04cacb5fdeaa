// `kubiya config use-context`.
import { defineCommand } from '../../command.ts';
import { jsonFlag } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'make a context the current one' },
  scope: 'contexts',
  examples: [['kubiya config use-context prod', 'until another one is chosen']],
  args: { name: { type: 'positional', description: 'name of the context' }, json: jsonFlag },
  run: async ({ args: { name, json }, output, loadConfig }) => {
    const { changeContexts } = await import('../../../processes/contexts.ts');
    await changeContexts(await loadConfig(), (contexts) => contexts.use(name));
    await (json ? output.printJson({ name }) : output.note(`the current context is now ${name}`));
  },
});
