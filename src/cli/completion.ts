// Shell completion out of the command tree; the library knows the shells and prints, so nothing else may be printed here.
import { RootCommand } from '@bomb.sh/tab';
import { type Command, loadCommand } from './command.ts';

export const completionShells = ['bash', 'zsh', 'fish', 'powershell'] as const;

export function printCompletionScript(shell: (typeof completionShells)[number]): void {
  new RootCommand().setup('kubiya', 'kubiya', shell);
}

/**
 * Prints what may come next after these words, the last of which is unfinished. Not by the library's own reader of citty
 * commands: that takes every flag for a switch and a long alias for a short one.
 */
export async function complete(root: Command, words: readonly string[]): Promise<void> {
  const tree = new RootCommand();
  await addChildren(tree, root, '');
  tree.parse([...words]);
}

async function addChildren(tree: RootCommand, { subCommands = {} }: Command, prefix: string): Promise<void> {
  for (const [name, child] of Object.entries(subCommands)) {
    const command = await loadCommand(child);
    const path = prefix + name;
    const entry = tree.command(path, command.meta.description);
    for (const { names, short, declaration } of command.flags ?? []) {
      const { description } = declaration;
      const choices = declaration.type === 'choice' ? declaration.choices : [];
      const [long = ''] = names;
      // Without a handler the library takes a flag for a switch.
      if (declaration.type === 'switch') entry.option(long, description, short);
      else entry.option(long, description, (suggest) => choices.forEach((choice) => suggest(choice, '')), short);
    }
    if (path === 'completion')
      entry.argument('shell', (suggest) => completionShells.forEach((shell) => suggest(shell, '')));
    await addChildren(tree, command, `${path} `);
  }
}
