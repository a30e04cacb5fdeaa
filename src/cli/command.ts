// What a command is: one declarative value with its flags, arguments and examples, and the function that runs it.
import type { Config } from '../config/config.ts';
import type { CommandScope, OptionType } from '../config/options.ts';
import type { Output } from './output.ts';

/** A flag of one command; options with other sources than the command line are declared in config/options.ts. */
export type FlagDeclaration = OptionType & {
  readonly description: string;
  /** One letter. */
  readonly short?: string;
  readonly aliases?: readonly string[];
  readonly valueName?: string;
  readonly defaultText?: string;
  /** May be given more than once; the value is a list. */
  readonly isRepeatable?: true;
};
export type FlagDeclarations = Readonly<Record<string, FlagDeclaration>>;

export interface ArgumentDeclaration {
  readonly description: string;
  readonly isOptional?: true;
}
/** In the order of the command line. */
export type ArgumentDeclarations = Readonly<Record<string, ArgumentDeclaration>>;

type SingleValue<Flag extends FlagDeclaration> = Flag extends { type: 'integer' | 'seconds' | 'duration' }
  ? number
  : Flag extends { type: 'choice'; choices: readonly (infer Choice)[] }
    ? Choice
    : string;

/** A switch is false when it is absent, a repeatable flag an empty list, everything else undefined. Durations are milliseconds. */
export type FlagValuesOf<Flags extends FlagDeclarations> = {
  readonly [Name in keyof Flags]: Flags[Name] extends { type: 'switch' }
    ? boolean
    : Flags[Name] extends { isRepeatable: true }
      ? readonly SingleValue<Flags[Name]>[]
      : SingleValue<Flags[Name]> | undefined;
};
export type ArgumentValuesOf<Arguments extends ArgumentDeclarations> = {
  readonly [Name in keyof Arguments]: Arguments[Name] extends { isOptional: true } ? string | undefined : string;
};

export interface CommandContext {
  readonly output: Output;
  /** The directory in which the command was started; relative paths are meant from here. */
  readonly cwd: string;
  /** Every word after the program's name, as typed. */
  readonly commandLine: readonly string[];
  /** The configuration for this command's scope, with its flags. */
  readonly loadConfig: () => Promise<Config>;
}

export interface CommandInput<Flags extends FlagDeclarations, Arguments extends ArgumentDeclarations> {
  readonly flags: FlagValuesOf<Flags>;
  readonly arguments: ArgumentValuesOf<Arguments>;
}

export interface Command<
  Flags extends FlagDeclarations = FlagDeclarations,
  Arguments extends ArgumentDeclarations = ArgumentDeclarations,
> {
  /** Which options of config/options.ts this command has; absent when it needs no configuration. */
  readonly scope?: CommandScope;
  /** What the one-line summary in root.ts leaves open. */
  readonly details?: string;
  /** Complete command lines with what they do. */
  readonly examples: readonly (readonly [commandLine: string, description: string])[];
  readonly flags: Flags;
  readonly arguments: Arguments;
  /** Prints, and gives the exit code (0 when it gives none). */
  // Method syntax, so that a command of any flags is a Command: the parser makes exactly what its declaration says.
  run(input: CommandInput<Flags, Arguments>, context: CommandContext): Promise<number | void>;
}

export function defineCommand<const Flags extends FlagDeclarations, const Arguments extends ArgumentDeclarations>(
  command: Command<Flags, Arguments>,
): Command {
  return command;
}

/** A place in the command tree: a group, a command, or both (`exec` and `exec agent`). */
export interface CommandNode {
  readonly name: string;
  readonly summary: string;
  readonly children?: readonly CommandNode[];
  readonly load?: () => Promise<{ readonly default: Command }>;
}

/** The flag of every command that prints data. */
export const jsonFlag = { type: 'switch', description: 'print JSON' } as const satisfies FlagDeclaration;
