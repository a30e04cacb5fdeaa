// `kubiya config rename-context`.
import { defineCommand } from '../../command.ts';
import { jsonFlag, usage } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'give a context another name' },
  scope: 'contexts',
  examples: [['kubiya config rename-context staging stage', 'it stays the current one if it was']],
  args: {
    old: { type: 'positional', description: 'name that it has' },
    new: { type: 'positional', description: 'name that it gets' },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig }) => {
    const name = args.new.trim();
    if (name === '') throw usage('the new name is empty', 'argument_invalid');
    const { changeContexts } = await import('../../../processes/contexts.ts');
    await changeContexts(await loadConfig(), (contexts) => contexts.rename(args.old, name));
    await (args.json ? output.printJson({ name }) : output.note(`the context ${args.old} is now called ${name}`));
  },
});
