// `kubiya completion <shell>`: the script that a shell sources.
import { completionShells, printCompletionScript } from '../completion.ts';
import { defineCommand } from '../command.ts';
import { usage } from '../flags.ts';
import { suggestion } from '../suggest.ts';

export default defineCommand({
  meta: { description: 'print the completion script of a shell' },
  examples: [
    ['source <(kubiya completion bash)', 'in ~/.bashrc'],
    ['source <(kubiya completion zsh)', 'in ~/.zshrc, after compinit'],
    ['kubiya completion fish > ~/.config/fish/completions/kubiya.fish', 'once'],
    ['kubiya completion powershell >> $PROFILE', 'once'],
  ],
  args: { shell: { type: 'positional', description: completionShells.join(', ') } },
  run: async ({ args: { shell } }) => {
    const known = completionShells.find((candidate) => candidate === shell);
    if (known === undefined)
      throw usage(
        `unknown shell "${shell}"`,
        'shell_unknown',
        suggestion(shell, completionShells, `one of ${completionShells.join(', ')}`),
      );
    printCompletionScript(known);
  },
});
