// Runs one command line: finds the command, reads it strictly, runs it, and turns whatever goes wrong into words and a code.
import { runCommand } from 'citty';
import { loadConfig } from '../config/load.ts';
import { type Environment, type ProcessFacts, processFacts } from '../config/sources.ts';
import { errnoOf, exitCodes, KubiyaError, messageOf } from '../errors.ts';
import { type Command, type Invocation, loadCommand } from './command.ts';
import { usage } from './flags.ts';
import { renderHelp } from './help.ts';
import { createProcessOutput, jsonText, type Output } from './output.ts';
import { failureText } from './render/summary.ts';
import { root } from './root.ts';
import { checkWords, continuationHint, firstPositionalIndex } from './strict.ts';
import { suggestion } from './suggest.ts';

/** Never throws: every error is printed and becomes the exit code. */
export async function runCommandLine(words: readonly string[]): Promise<number> {
  const facts = processFacts();
  const output = createProcessOutput(facts.environment);
  const reported = async (error: unknown): Promise<number> =>
    await report(error, output, { isJson: asksForJson(words), environment: facts.environment });
  const code = await run(words, output, facts).catch(reported);
  // Whoever reads only the exit code must not take half an answer for one.
  const ending = await output.flush().then(() => 0, reported);
  return code === 0 ? ending : code;
}

async function run(words: readonly string[], output: Output, facts: ProcessFacts): Promise<number> {
  if (words[0] === 'complete' && words[1] === '--') {
    // Asked by a completion script: what follows is somebody's unfinished command line, not ours.
    const { complete } = await import('./completion.ts');
    await complete(root, words.slice(2));
    return 0;
  }
  const { name, rest, command } = await findCommand(words);
  if (command.run === undefined) return await runGroup(name, rest, command, output);
  const rawArgs = checkWords(command, rest);
  if (rawArgs === undefined) {
    await output.print(await renderHelp(name, command, output.stdout));
    return 0;
  }
  const data: Invocation = {
    output,
    cwd: facts.cwd,
    commandLine: words,
    loadConfig: async (scope, flags) => {
      const config = await loadConfig({ scope, flags, facts });
      for (const warning of config.warnings)
        await output.note(`${output.stderr.style('yellow', 'warning:')} ${warning}`);
      return config;
    },
  };
  // Found already: citty would take a prompt for the name of a sub-command.
  const { result } = await runCommand({ ...command, subCommands: {} }, { rawArgs, data });
  return typeof result === 'number' ? result : 0;
}

interface FoundCommand {
  /** From the root on: `kubiya worker start`. */
  readonly name: string;
  readonly rest: readonly string[];
  readonly command: Command;
}

/** Goes down the tree as long as the next word that is neither a flag nor its value names a child; loads only what is on the way. */
async function findCommand(words: readonly string[]): Promise<FoundCommand> {
  const rest = [...words];
  let command = root;
  for (let name = 'kubiya'; ;) {
    const index = firstPositionalIndex(command, rest);
    const word = rest[index] ?? '';
    const children = command.subCommands ?? {};
    const child = Object.hasOwn(children, word) ? children[word] : undefined;
    if (child === undefined) return { name, rest, command };
    rest.splice(index, 1);
    name += ` ${word}`;
    command = await loadCommand(child);
  }
}

/** A group alone shows its help; as the answer when it was asked for, as an error when a command was forgotten. */
async function runGroup(name: string, rest: readonly string[], group: Command, output: Output): Promise<number> {
  const word = rest[firstPositionalIndex(group, rest)];
  const otherwise = `\`${name} --help\` lists the commands`;
  if (word !== undefined) {
    const names = Object.keys(group.subCommands ?? {});
    const hint = continuationHint(word) ?? suggestion(word, names, otherwise, `${name} `);
    throw usage(`unknown command "${`${name} ${word}`.slice('kubiya '.length)}"`, 'command_unknown', hint);
  }
  const unknown = rest.find((flag) => flag !== '--help' && flag !== '-h');
  if (unknown !== undefined) throw usage(`unknown flag ${unknown}`, 'flag_unknown', otherwise);
  const help = await renderHelp(name, group, output.stdout);
  const isAsked = rest.length > 0 || group === root;
  await (isAsked ? output.print(help) : output.note(help));
  return isAsked ? 0 : exitCodes.usage;
}

/** A broken command line has no parsed flags, but a script that asks for JSON must get its error as JSON too. */
function asksForJson(words: readonly string[]): boolean {
  return words.some((word, index) => {
    const before = words[index - 1] ?? '';
    return (
      word === '--json' ||
      /^(--output|--stream-format)=json$|^-ojson$/.test(word) ||
      (word === 'json' && /^(--output|--stream-format|-o)$/.test(before))
    );
  });
}

interface ReportOptions {
  readonly isJson: boolean;
  readonly environment: Environment;
}

async function report(error: unknown, output: Output, { isJson, environment }: ReportOptions): Promise<number> {
  const known = error instanceof KubiyaError ? error : (diskProblem(error) ?? bug(error));
  const isDebug = environment['KUBIYA_DEBUG'] === 'true' || environment['KUBIYA_DEBUG'] === '1';
  if (isJson) {
    await output.note(
      jsonText({
        code: known.code,
        message: known.message,
        hint: known.hint ?? null,
        retryable: known.isRetryable,
      }),
    );
  } else {
    await output.note(failureText(known.message, known.hint, output.stderr));
  }
  if (isDebug && error instanceof Error) await output.note(output.stderr.foreign(stackOf(error)));
  return known.exitCode;
}

/** A disk is filled by anybody at any moment: wherever that is noticed, it is no defect of ours. */
function diskProblem(error: unknown): KubiyaError | undefined {
  const problem = diskProblems[errnoOf(error) ?? ''];
  if (problem === undefined) return undefined;
  return new KubiyaError(`${problem}: ${messageOf(error)}`, {
    kind: 'configuration',
    code: 'disk_unusable',
    hint: 'free some space or set KUBIYA_HOME to a directory on another disk',
    cause: error,
  });
}

const diskProblems: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  SQLITE_FULL: 'the disk is full',
  EDQUOT: 'the quota of the disk is used up',
  EFBIG: 'a file has reached the size that is allowed',
  EROFS: 'the disk is read-only',
  EIO: 'the disk reports an error',
};

function bug(error: unknown): KubiyaError {
  return new KubiyaError(`kubiya has failed: ${messageOf(error)}`, {
    kind: 'internal',
    code: 'internal_error',
    hint: 'this is a defect of kubiya; run the command again with KUBIYA_DEBUG=true and report what it prints',
    cause: error,
  });
}

function stackOf(error: Error): string {
  const own = error.stack ?? error.message;
  return error.cause instanceof Error ? `${own}\ncaused by ${stackOf(error.cause)}` : own;
}
