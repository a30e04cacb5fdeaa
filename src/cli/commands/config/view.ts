// `kubiya config view`.
import { contextData, redactedText } from '../../../config/context-view.ts';
import { readSource, unwrap } from '../../../config/context-file.ts';
import { defineCommand } from '../../command.ts';
import { jsonFlag } from '../../flags.ts';

export default defineCommand({
  meta: { description: 'print the context file, without its tokens' },
  scope: 'contexts',
  examples: [
    ['kubiya config view', 'for a screen that others see'],
    ['kubiya config view --raw', 'the file as it is, with its tokens'],
    ['kubiya config view --json', 'for programs'],
  ],
  args: { raw: { type: 'switch', description: 'print it as it is, with its tokens' }, json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const { contextFile } = (await loadConfig()).paths;
    const source = unwrap(readSource(contextFile));
    if (args.json) return await output.printJson(await contextData(contextFile, source, { isRaw: args.raw }));
    if (source === '') return await output.note(`there is nothing in ${contextFile}`);
    if (args.raw) return await output.stdout.write(source);
    await output.stdout.write(output.stdout.foreign(await redactedText(contextFile, source)));
  },
});
