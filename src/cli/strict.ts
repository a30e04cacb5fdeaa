// The strict layer in front of citty: what a command does not declare is an error with a hint, never ignored or guessed.
import { parseArgs } from 'node:util';
import type { Command } from './command.ts';
import { contextFlag, convertValue, type KnownFlag, usage } from './flags.ts';
import { suggestion } from './suggest.ts';

export const seeHelp = 'the same command with --help shows how it is used';

/**
 * The words in the one form that citty does not interpret (`--flag=value`, switches, `--`, positionals); undefined when help is
 * asked for. citty itself takes `--no-x` for a negation wherever it stands, accepts --camelCase, and ignores what it does not know.
 */
export function checkWords(command: Command, words: readonly string[]): string[] | undefined {
  const flags = command.flags ?? [];
  const given = new Set<KnownFlag>();
  const checked: string[] = [];
  const positionals: string[] = [];
  for (const token of tokensOf(flags, words)) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const { rawName, value } = token;
    if (rawName === '--help' || rawName === '-h') return undefined;
    const flag = findFlag(flags, rawName);
    if (given.has(flag) && flag.declaration.isRepeatable !== true)
      throw usage(`${rawName} is given twice`, 'flag_repeated');
    given.add(flag);
    checkValue(flag, rawName, value);
    checked.push(value === undefined ? rawName : `--${flag.name}=${value}`);
  }
  const missing = flags.find((flag) => flag.declaration.required === true && !given.has(flag));
  if (missing !== undefined) throw usage(`--${missing.name} is missing`, 'flag_missing', seeHelp);
  checkPositionals(command, positionals);
  return [...checked, '--', ...positionals];
}

/** Where the first word stands that is neither a flag nor the value of one; -1 when there is none. */
export function firstPositionalIndex(command: Command, words: readonly string[]): number {
  // Groups have no flags, but --context may stand before the command.
  const flags = command.flags ?? [contextFlag];
  return tokensOf(flags, words).find(({ kind }) => kind === 'positional')?.index ?? -1;
}

/** Split by the library that citty uses too; which flags take a value is all that it has to know. */
function tokensOf(flags: readonly KnownFlag[], words: readonly string[]) {
  const options: Record<string, { type: 'boolean' | 'string'; short?: string }> = {};
  for (const { names, short, declaration } of flags) {
    const type = declaration.type === 'switch' ? 'boolean' : 'string';
    for (const name of names) options[name] = short === undefined ? { type } : { type, short };
  }
  return parseArgs({ args: [...words], options, strict: false, allowPositionals: true, tokens: true }).tokens;
}

function findFlag(flags: readonly KnownFlag[], rawName: string): KnownFlag {
  const word = rawName.replace(/^--?/, '');
  const isLong = rawName.startsWith('--');
  const named = (name: string): KnownFlag | undefined => flags.find(({ names }) => names.includes(name));
  const flag = isLong ? named(word) : flags.find(({ short }) => short === word);
  if (flag !== undefined) return flag;
  const positive = isLong && word.startsWith('no-') ? named(word.slice(3)) : undefined;
  if (positive?.declaration.type === 'switch') return positive;
  const candidates = [...flags.flatMap(({ names }) => names), 'help'];
  const hint = suggestion(word, candidates, 'the same command with --help lists its flags', '--');
  throw usage(`unknown flag ${rawName}`, 'flag_unknown', hint);
}

function checkValue(
  { name, declaration, isConfiguration }: KnownFlag,
  rawName: string,
  value: string | undefined,
): void {
  if (declaration.type === 'switch') {
    if (value === undefined) return;
    const hint = declaration.isOn === true ? `write --no-${name}` : `write --${name} or --no-${name}`;
    throw usage(`${rawName} takes no value`, 'flag_value_unexpected', hint);
  }
  if (value !== undefined && value !== '') {
    // config/load.ts tells all that is wrong with the configuration together, whatever source it is from.
    if (!isConfiguration) convertValue(declaration, rawName, value);
    return;
  }
  throw usage(
    `${rawName} needs a value`,
    'flag_value_missing',
    `write ${rawName} <${declaration.valueName ?? 'value'}>`,
  );
}

function checkPositionals({ args = {} }: Command, values: readonly string[]): void {
  const declared = Object.entries(args).filter(([, { type }]) => type === 'positional');
  const missing = declared.slice(values.length).find(([, { required }]) => required !== false);
  if (missing !== undefined) throw usage(`the argument <${missing[0]}> is missing`, 'argument_missing', seeHelp);
  const extra = values[declared.length];
  if (extra === undefined) return;
  const quoted = declared.at(-1)?.[0] === 'prompt' ? 'put the whole prompt in quotes' : undefined;
  throw usage(`unexpected argument "${extra}"`, 'argument_unexpected', continuationHint(extra) ?? quoted ?? seeHelp);
}

/** What a shell makes of a backslash that is not the last character of its line. */
export function continuationHint(word: string): string | undefined {
  return word.startsWith('\\') || /^\s/.test(word)
    ? 'a backslash continues a line only as its last character: remove what follows it'
    : undefined;
}
