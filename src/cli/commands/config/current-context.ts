// `kubiya config current-context`.
import { contextUnknown } from '../../../config/context-edit.ts';
import { contextFileOf } from '../../../config/context-file.ts';
import { KubiyaError } from '../../../errors.ts';
import { defineCommand } from '../../command.ts';
import { jsonFlag } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'print the name of the context in use' },
  scope: 'contexts',
  details: 'That of --context or KUBIYA_CONTEXT, else the current-context of the file.',
  examples: [['kubiya config current-context', 'its name; exit code 6 when there is none']],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const config = await loadConfig();
    const { current, contexts } = await contextFileOf(config.paths.contextFile);
    const name = config.context ?? current?.value;
    const names = contexts.map((context) => context.name);
    if (name === undefined) {
      throw new KubiyaError('no context is the current one', {
        kind: 'configuration',
        code: 'context_missing',
        hint: 'choose one with `kubiya config use-context`; `kubiya config get-contexts` lists them',
      });
    }
    if (!names.includes(name)) throw contextUnknown(name, names);
    await (args.json ? output.printJson({ name }) : output.print(name));
  },
});
