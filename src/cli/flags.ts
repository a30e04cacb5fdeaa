// The strict reader of a command line: what a command does not declare is an error with a hint, never ignored.
import { parseArgs } from 'node:util';
import { flagOptions, type OptionDeclaration } from '../config/options.ts';
import type { FlagValues } from '../config/sources.ts';
import { parseValue } from '../config/values.ts';
import { KubiyaError, messageOf } from '../errors.ts';
import type { Command, FlagDeclaration } from './command.ts';
import { suggestion } from './suggest.ts';

/** A flag as the command line knows it, whichever table declared it. */
export interface KnownFlag {
  readonly name: string;
  readonly names: readonly string[];
  readonly short: string | undefined;
  readonly declaration: FlagDeclaration;
  /** Variables that set the same option. */
  readonly environment: readonly string[];
  readonly isConfiguration: boolean;
}

export interface ParsedCommandLine {
  readonly flags: Readonly<Record<string, unknown>>;
  readonly configurationFlags: FlagValues;
  readonly arguments: Readonly<Record<string, string | undefined>>;
  readonly isHelp: boolean;
}

/** Every flag of a command: its own, then those of the options in its scope. */
export function knownFlags(command: Command): readonly KnownFlag[] {
  const own = Object.entries(command.flags).map(([name, declaration]) => ({
    name,
    names: [name, ...(declaration.aliases ?? [])],
    short: declaration.short,
    declaration,
    environment: [],
    isConfiguration: false,
  }));
  const shared = command.scope === undefined ? [] : flagOptions(command.scope);
  return [...own, ...shared.filter((option) => command.flags[option.flag] === undefined).map(fromOption)];
}

function fromOption(option: OptionDeclaration & { readonly flag: string }): KnownFlag {
  const defaultText =
    option.defaultText ??
    (option.default === undefined || option.default === false ? undefined : String(option.default));
  return {
    name: option.flag,
    names: [option.flag, ...(option.flagAliases ?? [])],
    short: undefined,
    declaration: defaultText === undefined ? option : { ...option, defaultText },
    environment: option.environment ?? [],
    isConfiguration: true,
  };
}

/** One element of the command line, in order. */
type Token =
  | { readonly kind: 'flag'; readonly rawName: string; readonly value: string | undefined }
  | { readonly kind: 'argument'; readonly value: string; readonly index: number };

export function parseCommandLine(command: Command, words: readonly string[]): ParsedCommandLine {
  const known = knownFlags(command);
  const flags: Record<string, unknown> = {};
  for (const { name, declaration } of known) {
    if (declaration.isRepeatable === true) flags[name] = [];
    else if (declaration.type === 'switch') flags[name] = false;
  }
  const configurationFlags: Record<string, string | boolean> = {};
  const given = new Set<string>();
  const values: string[] = [];
  for (const token of tokens(known, words)) {
    if (token.kind === 'argument') {
      values.push(token.value);
      continue;
    }
    if (token.rawName === '--help' || token.rawName === '-h')
      return { flags, configurationFlags, arguments: {}, isHelp: true };
    const { flag, isNegated } = findFlag(known, token.rawName);
    if (given.has(flag.name) && flag.declaration.isRepeatable !== true)
      throw usage(`${token.rawName} is given twice`, 'flag_repeated');
    given.add(flag.name);
    const value = flagValue(flag, token, isNegated);
    if (flag.isConfiguration) configurationFlags[flag.name] = typeof value === 'boolean' ? value : (token.value ?? '');
    else if (flag.declaration.isRepeatable === true) (flags[flag.name] as unknown[]).push(value);
    else flags[flag.name] = value;
  }
  return { flags, configurationFlags, arguments: assignArguments(command, values), isHelp: false };
}

/** Where the first word stands that is neither a flag nor the value of one; -1 when there is none. */
export function firstArgumentIndex(command: Command, words: readonly string[]): number {
  const first = tokens(knownFlags(command), words).find((token) => token.kind === 'argument');
  return first?.index ?? -1;
}

/** node:util splits `--a=b`, `-xy`, `--` and values; which flags take a value is all that it has to know. */
function tokens(known: readonly KnownFlag[], words: readonly string[]): readonly Token[] {
  const options: Record<string, { type: 'boolean' | 'string'; short?: string }> = {};
  for (const { names, short, declaration } of known) {
    for (const [index, name] of names.entries()) {
      options[name] = {
        type: declaration.type === 'switch' ? 'boolean' : 'string',
        ...(index === 0 && short !== undefined ? { short } : {}),
      };
    }
  }
  const parsed = parseArgs({ args: [...words], options, strict: false, allowPositionals: true, tokens: true });
  return parsed.tokens.flatMap((token): readonly Token[] => {
    if (token.kind === 'option') return [{ kind: 'flag', rawName: token.rawName, value: token.value }];
    return token.kind === 'positional' ? [{ kind: 'argument', value: token.value, index: token.index }] : [];
  });
}

function findFlag(
  known: readonly KnownFlag[],
  rawName: string,
): { readonly flag: KnownFlag; readonly isNegated: boolean } {
  const name = rawName.replace(/^--?/, '');
  const isLong = rawName.startsWith('--');
  const flag = known.find((candidate) => (isLong ? candidate.names.includes(name) : candidate.short === name));
  if (flag !== undefined) return { flag, isNegated: false };
  const positive =
    isLong && name.startsWith('no-') ? known.find((candidate) => candidate.names.includes(name.slice(3))) : undefined;
  if (positive?.declaration.type === 'switch') return { flag: positive, isNegated: true };
  const names = known.flatMap((candidate) => candidate.names);
  throw usage(
    `unknown flag ${rawName}`,
    'flag_unknown',
    suggestion(name, [...names, 'help'], 'the same command with --help lists its flags', '--'),
  );
}

function flagValue(
  flag: KnownFlag,
  token: Extract<Token, { kind: 'flag' }>,
  isNegated: boolean,
): string | number | boolean {
  const { declaration } = flag;
  const { rawName, value } = token;
  if (declaration.type === 'switch') {
    if (value === undefined) return !isNegated;
    throw usage(`${rawName} takes no value`, 'flag_value_unexpected', `write ${rawName} or --no-${flag.name}`);
  }
  if (value === undefined || value === '')
    throw usage(
      `${rawName} needs a value`,
      'flag_value_missing',
      `write ${rawName} <${declaration.valueName ?? 'value'}>`,
    );
  // A path stays as it was typed until the command knows from where it is meant.
  const result = parseValue(
    declaration.type === 'path' ? { ...declaration, type: 'text', scopes: [] } : { ...declaration, scopes: [] },
    value,
    '',
  );
  if (result.ok) return result.value;
  const near = declaration.type === 'choice' ? suggestion(value, declaration.choices) : undefined;
  throw usage(`${rawName} ${result.problem}`, 'flag_invalid', near);
}

function assignArguments(command: Command, values: readonly string[]): Record<string, string | undefined> {
  const declared = Object.entries(command.arguments);
  const assigned: Record<string, string | undefined> = {};
  for (const [index, [name, { isOptional }]] of declared.entries()) {
    const value = values[index];
    if (value === undefined && isOptional !== true)
      throw usage(
        `the argument <${name}> is missing`,
        'argument_missing',
        'the same command with --help shows how it is used',
      );
    assigned[name] = value;
  }
  const extra = values[declared.length];
  if (extra !== undefined) throw unexpectedArgument(extra, declared.at(-1)?.[0]);
  return assigned;
}

function unexpectedArgument(value: string, lastArgument: string | undefined): KubiyaError {
  const quoted = lastArgument === 'prompt' ? 'put the whole prompt in quotes' : undefined;
  return usage(
    `unexpected argument "${value}"`,
    'argument_unexpected',
    continuationHint(value) ?? quoted ?? 'the same command with --help shows how it is used',
  );
}

/** What a shell makes of a backslash that is not the last character of its line. */
export function continuationHint(word: string): string | undefined {
  return word.startsWith('\\') || /^\s/.test(word)
    ? 'a backslash continues a line only as its last character: remove what follows it'
    : undefined;
}

export function usage(message: string, code: string, hint?: string): KubiyaError {
  return new KubiyaError(message, { kind: 'usage', code, hint });
}

/** The value of a flag that a command cannot do without. */
export function required<T>(name: string, value: T | undefined): T {
  if (value === undefined)
    throw usage(`--${name} is missing`, 'flag_missing', 'the same command with --help shows how it is used');
  return value;
}

export function jsonObject(name: string, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new KubiyaError(`--${name} is not JSON: ${messageOf(error)}`, {
      kind: 'usage',
      code: 'flag_invalid',
      hint: 'put it in single quotes',
      cause: error,
    });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw usage(`--${name} must be a JSON object`, 'flag_invalid', `for example '{"key": "value"}'`);
}
