// Finds the context that a command is meant to use: the one that was asked for, else the current one of the file.
import type { Origin } from './config.ts';
import { type Context, readContextFile } from './context-file.ts';
import { type CommandScope, options } from './options.ts';
import type { Paths } from './paths.ts';
import { fileProblem, type Problem } from './problems.ts';
import { type Environment, type FlagValues, given } from './sources.ts';

export interface FoundContext {
  readonly context: Context | undefined;
  readonly problems: readonly Problem[];
  readonly path: string;
  readonly isReadableByOthers: boolean;
}

/** The context that was asked for, else the current one; a command that takes nothing from it does not even open the file. */
export async function findContext(
  { contextFile: path }: Paths,
  scope: CommandScope,
  flags: FlagValues,
  environment: Environment,
): Promise<FoundContext> {
  const none = { context: undefined, problems: [], path, isReadableByOthers: false };
  if (scope !== 'show' && !options.apiKey.scopes.some((reading) => reading === scope)) return none;
  const reading = await readContextFile(path);
  if (!reading.ok) return { ...none, problems: reading.problems.map(fileProblem) };
  const { contexts, current, isReadableByOthers } = reading.value;
  const flag = flags[options.contextName.flag];
  const variable = given(environment, 'KUBIYA_CONTEXT');
  const wanted = flag === undefined ? variable : String(flag);
  const name = wanted ?? current?.value;
  const context = contexts.find((candidate) => candidate.name === name);
  if (name === undefined || context !== undefined) return { context, problems: [], path, isReadableByOthers };
  const names = contexts.map((known) => known.name).join(', ');
  const known = names === '' ? 'it has none' : `it has ${names}`;
  if (wanted === undefined) {
    const message = `the current context "${name}" does not exist; ${known}`;
    return { ...none, problems: [fileProblem({ location: current?.location ?? path, message })] };
  }
  const origin: Origin =
    flag === undefined ? { kind: 'environment', name: 'KUBIYA_CONTEXT' } : { kind: 'flag', name: '--context' };
  return { ...none, problems: [{ origin, message: `${origin.name} "${name}" is no context of ${path}; ${known}` }] };
}
