// The text of --help: usage, arguments, flags with their variables and defaults, examples.
import { type Command, loadCommand } from './command.ts';
import type { KnownFlag } from './flags.ts';
import type { Sink } from './output.ts';

/** Beyond this the description of a flag goes to a line of its own. */
const nameColumnsMax = 34;

/** `name` is the whole one: `kubiya worker start`. */
export async function renderHelp(name: string, command: Command, sink: Sink): Promise<string> {
  const { meta, details, args = {}, flags, subCommands = {}, examples = [] } = command;
  const children = await Promise.all(
    Object.entries(subCommands).map(
      async ([child, entry]) => [child, (await loadCommand(entry)).meta.description] as const,
    ),
  );
  const positionals = Object.entries(args).filter(([, { type }]) => type === 'positional');
  const usages: string[] = [];
  if (flags !== undefined) {
    const named = positionals.map(([word, { required }]) => (required === false ? `[<${word}>]` : `<${word}>`));
    usages.push([name, ...named, '[flags]'].join(' '));
  }
  if (children.length > 0) usages.push(`${name} <command> [flags]`);
  const blocks = [[capitalise(meta.description)]];
  if (details !== undefined) blocks.push([details]);
  blocks.push(usages.map((usage, index) => `${index === 0 ? 'Usage:' : '      '} ${usage}`));
  if (children.length > 0) blocks.push(section(sink, 'Commands', rows(children)));
  if (positionals.length > 0) {
    const named = positionals.map(([word, { description = '' }]) => [`<${word}>`, description] as const);
    blocks.push(section(sink, 'Arguments', rows(named)));
  }
  if (flags === undefined) blocks.push([`Run \`${name} <command> --help\` for the flags and examples of a command.`]);
  else blocks.push(section(sink, 'Flags', rows([...flags.map(flagRow), ['-h, --help', 'show this text']])));
  if (examples.length > 0) {
    const lines = examples.flatMap(([line, text]) => [`  # ${text}`, `  ${line}`]);
    blocks.push(section(sink, 'Examples', lines));
  }
  return blocks.map((lines) => lines.join('\n')).join('\n\n');
}

function flagRow({ names, short, declaration, environment }: KnownFlag): readonly [string, string] {
  const valueName =
    declaration.type === 'choice' ? declaration.choices.join('|') : (declaration.valueName ?? declaration.type);
  const spellings = [...(short === undefined ? [] : [`-${short}`]), ...names.map((name) => `--${name}`)].join(', ');
  const extras = [
    ...(declaration.required === true ? ['required'] : []),
    ...(declaration.isRepeatable === true ? ['repeatable'] : []),
    ...(declaration.defaultText === undefined ? [] : [`default: ${declaration.defaultText}`]),
    ...(environment.length === 0 ? [] : [`env: ${environment.join(' > ')}`]),
  ];
  const description =
    extras.length === 0 ? declaration.description : `${declaration.description} (${extras.join('; ')})`;
  return [declaration.type === 'switch' ? spellings : `${spellings} <${valueName}>`, description];
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
