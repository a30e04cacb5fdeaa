// `kubiya config view`.
import { redactContexts } from '../../../config/context-view.ts';
import { fileError, readSource } from '../../../config/context-file.ts';
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
    const source = readSource(contextFile);
    if (!source.ok) throw fileError(source.problems);
    if (source.value === '' && !args.json) return await output.note(`there is nothing in ${contextFile}`);
    if (args.raw && !args.json) return await output.stdout.write(source.value);
    const { text, data } = await redactContexts(contextFile, source.value, { isRaw: args.raw });
    await (args.json ? output.printJson(data) : output.stdout.write(output.stdout.foreign(text)));
  },
});
