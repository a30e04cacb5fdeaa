// What a command is: a citty command with the examples that help prints and the flags that the strict layer checks.
import type { ArgsDef, CommandDef, CommandMeta } from 'citty';
import type { Config } from '../config/config.ts';
import type { CommandScope } from '../config/options.ts';
import type { FlagValues } from '../config/sources.ts';
import {
  type ArgDeclarations,
  cittyArgs,
  configurationFlags,
  type KnownFlag,
  knownFlags,
  type ValuesOf,
  valuesOf,
} from './flags.ts';
import type { Output } from './output.ts';

/** A place in the command tree: a group, a command, or both (`exec` and `exec agent`). */
export interface Command extends CommandDef {
  readonly meta: CommandMeta & { readonly description: string };
  readonly subCommands?: Readonly<Record<string, Command | (() => Promise<Command>)>>;
  readonly args?: ArgsDef;
  readonly flags?: readonly KnownFlag[];
  readonly details?: string;
  readonly examples?: readonly Example[];
}

type Example = readonly [commandLine: string, description: string];

export interface CommandContext {
  readonly output: Output;
  /** The directory in which the command was started; relative paths are meant from here. */
  readonly cwd: string;
  /** Every word after the program's name, as typed. */
  readonly commandLine: readonly string[];
  /** The configuration for this command's scope (or the one that is given), with its flags. */
  readonly loadConfig: (scope?: CommandScope) => Promise<Config>;
}

/** What run.ts hands to a command, as citty's `data`. */
export interface Invocation extends Omit<CommandContext, 'loadConfig'> {
  readonly loadConfig: (scope: CommandScope, flags: FlagValues) => Promise<Config>;
}

interface CommandDeclaration<Args extends ArgDeclarations> extends Pick<Command, 'meta' | 'details'> {
  /** Which options of config/options.ts this command has; absent when it needs no configuration. */
  readonly scope?: CommandScope;
  /** Complete command lines with what they do. */
  readonly examples: readonly Example[];
  readonly args: Args;
  /** Prints, and gives the exit code (0 when it gives none). */
  readonly run: (context: CommandContext & { readonly args: ValuesOf<Args> }) => Promise<number | void>;
}

export function defineCommand<const Args extends ArgDeclarations>(declaration: CommandDeclaration<Args>): Command {
  const { scope, args, run, ...shown } = declaration;
  const flags = knownFlags(args, scope);
  return {
    ...shown,
    args: cittyArgs(args, flags),
    flags,
    run: ({ args: parsed, rawArgs, data }) => {
      const { loadConfig, ...context } = data as Invocation;
      // A copy, because citty's own object looks for an absent name again in two other cases.
      const given = { ...parsed };
      return run({
        ...context,
        // Made from exactly what the declaration says.
        args: valuesOf(args, given, rawArgs) as ValuesOf<Args>,
        loadConfig: (other) => loadConfig(other ?? scope ?? 'api', configurationFlags(flags, given)),
      });
    },
  };
}

export async function loadCommand(entry: Command | (() => Promise<Command>)): Promise<Command> {
  return typeof entry === 'function' ? await entry() : entry;
}
