// `kubiya config path`.
import { defineCommand } from '../../command.ts';
import { jsonFlag } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'print where the context file is' },
  scope: 'contexts',
  examples: [
    ['kubiya config path', 'its path, whether it exists or not'],
    ['$EDITOR "$(kubiya config path)"', 'edit it'],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const { contextFile } = (await loadConfig()).paths;
    await (args.json ? output.printJson({ path: contextFile }) : output.print(contextFile));
  },
});
