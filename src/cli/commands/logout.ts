// `kubiya logout`: a context loses its token.
import { defineCommand } from '../command.ts';
import { jsonFlag } from '../flags.ts';

export default defineCommand({
  meta: { description: 'remove the token of a context' },
  scope: 'contexts',
  details: 'The token itself stays valid until it expires; only this machine forgets it.',
  examples: [
    ['kubiya logout', 'of the current context'],
    ['kubiya logout --context staging', 'of another one'],
  ],
  args: { json: jsonFlag },
  run: async ({ args, output, loadConfig }) => {
    const { logOut } = await import('../../processes/login.ts');
    const { context, hadToken } = await logOut(await loadConfig());
    if (args.json) return await output.printJson({ context, had_token: hadToken });
    await output.note(hadToken ? `the token of ${context} is removed` : `the context ${context} had no token`);
  },
});
