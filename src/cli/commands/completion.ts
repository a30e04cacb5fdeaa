// `kubiya completion <shell>`: the script that a shell sources.
import { completionShells, printCompletionScript } from '../completion.ts';
import { defineCommand } from '../command.ts';
import { usage } from '../flags.ts';
import { suggestion } from '../suggest.ts';

export default defineCommand({
  examples: [
    ['source <(kubiya completion bash)', 'in ~/.bashrc'],
    ['source <(kubiya completion zsh)', 'in ~/.zshrc, after compinit'],
    ['kubiya completion fish > ~/.config/fish/completions/kubiya.fish', 'once'],
    ['kubiya completion powershell >> $PROFILE', 'once'],
  ],
  flags: {},
  arguments: { shell: { description: completionShells.join(', ') } },
  run: async ({ arguments: { shell } }) => {
    const known = completionShells.find((candidate) => candidate === shell);
    if (known === undefined)
      throw usage(
        `unknown shell "${shell}"`,
        'shell_unknown',
        suggestion(shell, completionShells, `one of ${completionShells.join(', ')}`),
      );
    await printCompletionScript(known);
  },
});
