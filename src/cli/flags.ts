// What a command declares of its flags and positionals, what citty is told of them, and text into the declared value.
import type { ArgsDef, ParsedArgs } from 'citty';
import { type CommandScope, flagOptions, type OptionDeclaration, options, type OptionType } from '../config/options.ts';
import type { FlagValues } from '../config/sources.ts';
import { parseValue } from '../config/values.ts';
import { KubiyaError, messageOf } from '../errors.ts';
import { formatBytes } from '../lib/size.ts';
import { suggestion } from './suggest.ts';

/** A flag of one command; options with other sources than the command line are declared in config/options.ts. */
export type FlagDeclaration = OptionType & {
  readonly description: string;
  /** Another name; a single letter is written with one dash. */
  readonly alias?: string;
  readonly valueName?: string;
  readonly defaultText?: string;
  readonly required?: true;
  /** May be given more than once; the value is a list. */
  readonly isRepeatable?: true;
  /** A switch that is on, and that can only be switched off: `--no-<name>`. */
  readonly isOn?: true;
};

export interface PositionalDeclaration {
  readonly type: 'positional';
  readonly description: string;
  readonly required?: false;
}

/** Flags by their long name, and positionals in the order of the command line. */
export type ArgDeclarations = Readonly<Record<string, FlagDeclaration | PositionalDeclaration>>;

type SingleValue<Flag> = Flag extends { type: 'integer' | 'seconds' | 'duration' | 'bytes' | 'cpus' | 'usd' }
  ? number
  : Flag extends { type: 'choice'; choices: readonly (infer Choice)[] }
    ? Choice
    : string;

/** A switch that is absent is off, a repeatable flag an empty list, everything else undefined. Durations are milliseconds. */
export type ValuesOf<Args extends ArgDeclarations> = {
  readonly [Name in keyof Args]: Args[Name] extends { type: 'switch' }
    ? boolean
    : Args[Name] extends { isRepeatable: true }
      ? readonly SingleValue<Args[Name]>[]
      : Args[Name] extends { required: true }
        ? SingleValue<Args[Name]>
        : Args[Name] extends { type: 'positional'; required?: never }
          ? string
          : SingleValue<Args[Name]> | undefined;
};

/** The flag of every command that prints data. */
export const jsonFlag = { type: 'switch', description: 'print JSON' } as const satisfies FlagDeclaration;

/** A flag as the command line knows it, whichever table declared it. */
export interface KnownFlag {
  readonly name: string;
  /** What may stand after `--`, the one for help and completion first. */
  readonly names: readonly string[];
  readonly short: string | undefined;
  readonly declaration: FlagDeclaration;
  /** Variables that set the same option. */
  readonly environment: readonly string[];
  readonly isConfiguration: boolean;
}

/** Every flag of a command: its own, then those of the options in its scope. */
export function knownFlags(args: ArgDeclarations, scope: CommandScope | undefined): readonly KnownFlag[] {
  const own = Object.entries(args).flatMap(([name, declaration]) =>
    declaration.type === 'positional' ? [] : [fromDeclaration(name, declaration)],
  );
  const shared = scope === undefined ? [] : flagOptions(scope).filter(({ flag }) => args[flag] === undefined);
  return [...own, ...shared.map(fromOption)];
}

function fromDeclaration(name: string, declaration: FlagDeclaration): KnownFlag {
  const { alias, isOn } = declaration;
  const others = alias === undefined || alias.length === 1 ? [] : [alias];
  return {
    name,
    names: [isOn === true ? `no-${name}` : name, ...others],
    short: others.length === 0 ? alias : undefined,
    declaration,
    environment: [],
    isConfiguration: false,
  };
}

function fromOption(option: OptionDeclaration & { readonly flag: string }): KnownFlag {
  const { flag: name, flagAliases = [], environment = [], isOn } = option;
  const fallback =
    option.default === undefined || typeof option.default === 'boolean'
      ? undefined
      : option.type === 'bytes'
        ? formatBytes(Number(option.default))
        : String(option.default);
  const defaultText = option.defaultText ?? fallback;
  return {
    name,
    names: [isOn === true ? `no-${name}` : name, ...flagAliases],
    short: undefined,
    declaration: defaultText === undefined ? option : { ...option, defaultText },
    environment,
    isConfiguration: true,
  };
}

/** The one flag that may stand anywhere, also before the command. */
export const contextFlag: KnownFlag = fromOption(options.contextName);

/** The same for citty: everything but a switch is text to it, because its other types are not strict enough. */
export function cittyArgs(args: ArgDeclarations, flags: readonly KnownFlag[]): ArgsDef {
  const result: ArgsDef = {};
  for (const [name, declaration] of Object.entries(args)) {
    if (declaration.type === 'positional') result[name] = declaration;
  }
  for (const { name, names, short, declaration, isConfiguration } of flags) {
    const { description, required = false, isOn = false } = declaration;
    const alias = [...names, ...(short === undefined ? [] : [short])].filter((other) => other !== name);
    if (declaration.type !== 'switch') result[name] = { type: 'string', description, alias, required };
    // Whether a switch of the configuration was given at all decides about the other sources.
    else result[name] = { type: 'boolean', description, alias, ...(isConfiguration ? {} : { default: isOn }) };
  }
  return result;
}

/** What citty has read, in the types that were declared. */
export function valuesOf(
  args: ArgDeclarations,
  parsed: ParsedArgs,
  rawArgs: readonly string[],
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(args).map(([name, declaration]) => {
      const value = parsed[name];
      if (declaration.type === 'positional') return [name, value];
      const convert = (text: string): unknown => convertValue(declaration, `--${name}`, text);
      if (declaration.isRepeatable === true) return [name, repeatedValues(name, rawArgs).map(convert)];
      return [name, typeof value === 'string' ? convert(value) : value];
    }),
  );
}

/** citty keeps the last of several, so they are read from the words that it was given. */
function repeatedValues(name: string, rawArgs: readonly string[]): readonly string[] {
  const flags = rawArgs.slice(0, rawArgs.indexOf('--'));
  return flags.filter((word) => word.startsWith(`--${name}=`)).map((word) => word.slice(name.length + 3));
}

/** For config/load.ts, which knows the other sources and converts whatever wins. */
export function configurationFlags(flags: readonly KnownFlag[], parsed: ParsedArgs): FlagValues {
  const names = flags.filter(({ isConfiguration }) => isConfiguration).map(({ name }) => name);
  return Object.fromEntries(names.map((name) => [name, parsed[name] as string | boolean | undefined]));
}

/** Throws when the text is not what the declaration says; `rawName` is the flag as it was typed. */
export function convertValue(declaration: FlagDeclaration, rawName: string, text: string): string | number | boolean {
  // A path stays as it was typed until the command knows from where it is meant.
  const option = declaration.type === 'path' ? ({ ...declaration, type: 'text' } as const) : declaration;
  const result = parseValue({ ...option, scopes: [] }, text, '');
  if (result.ok) return result.value;
  const near = declaration.type === 'choice' ? suggestion(text, declaration.choices) : undefined;
  throw usage(`${rawName} ${result.problem}`, 'flag_invalid', near);
}

export function usage(message: string, code: string, hint?: string): KubiyaError {
  return new KubiyaError(message, { kind: 'usage', code, hint });
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
