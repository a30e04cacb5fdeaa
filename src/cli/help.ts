// The text of --help: usage, arguments, flags with their variables and defaults, examples.
import type { Command, CommandNode } from './command.ts';
import { knownFlags, type KnownFlag } from './flags.ts';
import type { Sink } from './output.ts';

/** Beyond this the description of a flag goes to a line of its own. */
const nameColumnsMax = 34;

export interface HelpSubject {
  /** From the root on: `kubiya`, `worker`, `start`. */
  readonly path: readonly CommandNode[];
  readonly command: Command | undefined;
}

export function renderHelp({ path, command }: HelpSubject, sink: Sink): string {
  const name = path.map((node) => node.name).join(' ');
  const node = path.at(-1);
  const children = node?.children ?? [];
  const blocks = [[capitalise(node?.summary ?? '')], usageLines(name, command, children)];
  if (command?.details !== undefined) blocks.splice(1, 0, [command.details]);
  if (children.length > 0)
    blocks.push(section(sink, 'Commands', rows(children.map((child) => [child.name, child.summary]))));
  if (command !== undefined) {
    const named = Object.entries(command.arguments).map(
      ([argument, { description }]) => [`<${argument}>`, description] as const,
    );
    if (named.length > 0) blocks.push(section(sink, 'Arguments', rows(named)));
    blocks.push(section(sink, 'Flags', rows([...knownFlags(command).map(flagRow), ['-h, --help', 'show this text']])));
    if (command.examples.length > 0)
      blocks.push(
        section(
          sink,
          'Examples',
          command.examples.flatMap(([line, text]) => [`  # ${text}`, `  ${line}`]),
        ),
      );
  } else blocks.push([`Run \`${name} <command> --help\` for the flags and examples of a command.`]);
  return blocks.map((lines) => lines.join('\n')).join('\n\n');
}

function usageLines(name: string, command: Command | undefined, children: readonly CommandNode[]): string[] {
  const lines: string[] = [];
  if (command !== undefined) {
    const named = Object.entries(command.arguments).map(([argument, { isOptional }]) =>
      isOptional === true ? `[<${argument}>]` : `<${argument}>`,
    );
    lines.push(`Usage: ${[name, ...named, '[flags]'].join(' ')}`);
  }
  if (children.length > 0) lines.push(`${lines.length === 0 ? 'Usage:' : '      '} ${name} <command> [flags]`);
  return lines;
}

function flagRow(flag: KnownFlag): readonly [string, string] {
  const { declaration } = flag;
  const takesValue = declaration.type !== 'switch';
  const valueName =
    declaration.type === 'choice' ? declaration.choices.join('|') : (declaration.valueName ?? declaration.type);
  const names = [
    ...(flag.short === undefined ? [] : [`-${flag.short}`]),
    ...flag.names.map((name) => `--${name}`),
  ].join(', ');
  const extras = [
    ...(declaration.isRepeatable === true ? ['repeatable'] : []),
    ...(declaration.defaultText === undefined ? [] : [`default: ${declaration.defaultText}`]),
    ...(flag.environment.length === 0 ? [] : [`env: ${flag.environment.join(' > ')}`]),
  ];
  const description =
    extras.length === 0 ? declaration.description : `${declaration.description} (${extras.join('; ')})`;
  return [takesValue ? `${names} <${valueName}>` : names, description];
}

function rows(entries: readonly (readonly [string, string])[]): string[] {
  const width = Math.min(nameColumnsMax, Math.max(...entries.map(([name]) => name.length)));
  return entries.map(([name, text]) =>
    name.length > width ? `  ${name}\n  ${' '.repeat(width)}  ${text}` : `  ${name.padEnd(width)}  ${text}`,
  );
}

function section(sink: Sink, title: string, lines: readonly string[]): string[] {
  return [sink.style('bold', `${title}:`), ...lines];
}

function capitalise(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
