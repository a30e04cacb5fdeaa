// A command that a user declares with places for a model's arguments: they become single words or variables, never text for a shell.
import { resolve } from 'node:path';
import * as v from 'valibot';
import { secondsSchema } from './configuration.ts';
import type { Arguments, ArgumentValue, Parameters } from './parameters.ts';
import type { Attempt } from './tool.ts';

export const declaredCommandEntries = {
  /** A program and its arguments; `{{name}}` in an argument is replaced by the model's value. */
  command: v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(200)),
  working_directory: v.optional(v.pipe(v.string(), v.minLength(1))),
  environment_variables: v.optional(v.record(v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/)), v.string()), {}),
  timeout: v.optional(secondsSchema),
};
const declaredCommandSchema = v.strictObject(declaredCommandEntries);
export type DeclaredCommand = v.InferOutput<typeof declaredCommandSchema>;

const place = /\{\{ *([A-Za-z][A-Za-z0-9_]*) *\}\}/g;
/** They take a program as an argument: text that a value must not become a part of. */
const interpreter =
  /^((ba|da|a|z|k|mk|fi|c|tc)?sh|python[0-9.]*|node|bun|deno|perl|ruby|php|lua[0-9.]*|osascript|pwsh|powershell|cmd|awk|gawk|mawk|sed|eval|env|xargs|find|git|su|sudo|doas|nix-shell)(\.exe)?$/i;
/** Options behind which interpreters expect a program, and those that hold it themselves. */
const programOption =
  /^(-[A-Za-z]*[cerp]|--?(command|eval|execute|exec|execdir|ok|okdir|print|expression|run)|\/[ck])$/i;
const attachedProgram = /^(-[A-Za-z]*[cerp]|--?(command|eval|execute|exec|print|expression|run)=).*\{\{/i;

/** The problem with a declaration, or undefined. */
export function declarationProblem(declared: DeclaredCommand, parameters: Parameters): string | undefined {
  const [program = ''] = declared.command;
  if (program === '' || program.includes('{{')) return 'its program must be written out';
  const unknown = declared.command.flatMap(placesIn).find((name) => !Object.hasOwn(parameters.properties, name));
  if (unknown !== undefined) return `{{${unknown}}} is not among its parameters`;
  if (declared.command.some((_word, at) => isProgramText(declared.command, at))) {
    return 'a parameter would become part of a program text; read it from the variable ARG_NAME there instead';
  }
  return undefined;
}

/** A place behind `-c` and the like, or where an interpreter has its first operand, would run what the model writes. */
function isProgramText(words: readonly string[], at: number): boolean {
  const word = words[at] ?? '';
  if (placesIn(word).length === 0) return false;
  const leaders = words.slice(0, at);
  const names = leaders.map((item) => item.split(/[/\\]/).at(-1) ?? '');
  // They put their words together again and give them to a shell.
  if (names.includes('ssh') || /^(watch|parallel)$/.test(names[0] ?? '')) return true;
  if (!names.some((name) => interpreter.test(name))) return false;
  const isFirstOperand = leaders.slice(1).every((item) => item.startsWith('-')) && !word.startsWith('-');
  return isFirstOperand || programOption.test(leaders.at(-1) ?? '') || attachedProgram.test(word);
}

function placesIn(word: string): string[] {
  return Array.from(word.matchAll(place), ([, name = '']) => name);
}

export interface RenderedCommand {
  readonly command: readonly string[];
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * A word that is nothing but a place disappears when its argument was left out and becomes several words for a list. No word
 * begins with a dash because of a value, unless `--` stands right before it or its neighbours that are places too: the `--` of
 * a program that starts another one is not the other's. Each argument is also the variable `ARG_<NAME>`.
 */
export function renderCommand(
  declared: DeclaredCommand,
  given: Arguments,
  workspace: string,
): Attempt<RenderedCommand> {
  const command: string[] = [];
  let isOperand = false;
  for (const word of declared.command) {
    isOperand = word === '--' || (isOperand && placesIn(word).length > 0);
    const whole = /^\{\{ *([A-Za-z][A-Za-z0-9_]*) *\}\}$/.exec(word)?.[1];
    const filled =
      whole === undefined
        ? [word.replaceAll(place, (_all, name: string) => textOf(valueOf(given, name)))]
        : wordsOf(valueOf(given, whole));
    const isOption = (value: string): boolean => value.startsWith('-') && !word.startsWith('-');
    if (filled.some(isOption) && !isOperand) {
      return { ok: false, problem: `The value for ${word} may not begin with a dash: it would be read as an option` };
    }
    command.push(...filled);
  }
  const variables: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) variables[`ARG_${name.toUpperCase()}`] = textOf(value);
  return {
    ok: true,
    value: {
      command,
      cwd: resolve(workspace, declared.working_directory ?? '.'),
      environment: { ...declared.environment_variables, ...variables },
    },
  };
}

function valueOf(given: Arguments, name: string): ArgumentValue | undefined {
  return Object.hasOwn(given, name) ? given[name] : undefined;
}

function wordsOf(value: ArgumentValue | undefined): string[] {
  if (value === undefined) return [];
  return typeof value === 'object' ? value.map(String) : [String(value)];
}

function textOf(value: ArgumentValue | undefined): string {
  return wordsOf(value).join(',');
}
