// Shell completion out of the command tree; the library knows the shells and prints, so nothing else may be printed here.
import { RootCommand } from '@bomb.sh/tab';
import type { CommandNode } from './command.ts';
import { knownFlags } from './flags.ts';
import { root } from './root.ts';

export const completionShells = ['bash', 'zsh', 'fish', 'powershell'] as const;

export function printCompletionScript(shell: (typeof completionShells)[number]): Promise<void> {
  new RootCommand().setup(root.name, root.name, shell);
  return Promise.resolve();
}

/** Prints what may come next after these words, the last of which is unfinished. */
export async function complete(words: readonly string[]): Promise<void> {
  const tree = new RootCommand();
  for (const child of root.children ?? []) await add(tree, child, child.name);
  tree.parse([...words]);
}

async function add(tree: RootCommand, node: CommandNode, path: string): Promise<void> {
  const command = (await node.load?.())?.default;
  const entry = tree.command(path, node.summary);
  for (const { name, short, declaration } of command === undefined ? [] : knownFlags(command)) {
    const { description } = declaration;
    const choices = declaration.type === 'choice' ? declaration.choices : [];
    // Without a handler the library takes a flag for a switch.
    if (declaration.type === 'switch') entry.option(name, description, short);
    else entry.option(name, description, (suggest) => choices.forEach((choice) => suggest(choice, '')), short);
  }
  if (path === 'completion')
    entry.argument('shell', (suggest) => completionShells.forEach((shell) => suggest(shell, '')));
  for (const child of node.children ?? []) await add(tree, child, `${path} ${child.name}`);
}
