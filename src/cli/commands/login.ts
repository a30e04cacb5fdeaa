// `kubiya login`: a browser signs in, a context gets the token.
import { createInterface } from 'node:readline';
import { defineCommand } from '../command.ts';
import { jsonFlag } from '../flags.ts';

export default defineCommand({
  meta: { description: 'sign in with a browser and keep the token in a context' },
  scope: 'login',
  details:
    'The identity provider sends the browser back to port 9000 of this machine. The context is that of --context, else it is\nnamed after your organization, and becomes the current one. KUBIYA_API_KEY comes before it.',
  examples: [
    ['kubiya login', 'opens a browser'],
    ['kubiya login --no-browser', 'prints the address to open, also on another machine'],
    ['kubiya login --context staging --control-plane-url https://staging.example', 'for another control plane'],
  ],
  args: {
    browser: { type: 'switch', isOn: true, description: 'print the address and open nothing' },
    json: jsonFlag,
  },
  run: async ({ args, output, loadConfig }) => {
    const config = await loadConfig();
    const { logIn } = await import('../../processes/login.ts');
    const lines = output.isInteractive ? createInterface({ input: process.stdin }) : undefined;
    try {
      const { context, user, organization, expiresAt } = await logIn(config, {
        writeLine: (line) => void output.note(output.stderr.foreign(line)),
        mayOpenBrowser: args.browser,
        pasted: lines,
      });
      const expires = expiresAt.toISOString();
      if (args.json)
        return await output.printJson({ context, user, organization: organization ?? null, expires_at: expires });
      await output.note(`signed in as ${user}; the context ${context} has the token until ${expires}`);
      const nearer = ['KUBIYA_API_KEY', 'KUBIYA_API_KEY_FILE'].find(
        (name) => (config.childEnvironmentBase.reveal()[name] ?? '') !== '',
      );
      if (nearer !== undefined) await output.note(`${nearer} is set and comes before the context`);
    } finally {
      lines?.close();
    }
  },
});
