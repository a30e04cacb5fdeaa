// Everything that is wrong with the settings of one command, said in one message, each with the place to correct.
import { type ErrorKind, KubiyaError } from '../errors.ts';
import type { Origin } from './config.ts';
import { type FileProblem, fileHint } from './context-file.ts';

export interface Problem {
  readonly origin: Origin | { readonly kind: 'file' };
  /** A sentence that names the flag, variable or file, never the value of a secret. */
  readonly message: string;
}

export const fileProblem = ({ location, message }: FileProblem): Problem => ({
  origin: { kind: 'file' },
  message: `${location}: ${message}`,
});

/** Returns when there is none. */
export function refuseProblems(problems: readonly Problem[]): void {
  const first = problems[0];
  if (first === undefined) return;
  const messages = problems.map(({ message }) => message);
  throw new KubiyaError(
    messages.length === 1 ? first.message : `${messages.length} settings are wrong:\n  ${messages.join('\n  ')}`,
    kindOf(problems),
  );
}

function kindOf(problems: readonly Problem[]): { kind: ErrorKind; code: string; hint: string } {
  const areAll = (kind: Problem['origin']['kind']): boolean => problems.every(({ origin }) => origin.kind === kind);
  if (areAll('flag'))
    return { kind: 'usage', code: 'flag_invalid', hint: 'the same command with --help lists the flags' };
  if (areAll('file')) return { kind: 'configuration', code: 'context_file_invalid', hint: fileHint };
  const hint = 'correct the settings; `kubiya config show` lists them with their origin';
  return { kind: 'configuration', code: 'configuration_invalid', hint };
}

export function describeOrigin(origin: Origin): string {
  switch (origin.kind) {
    case 'flag':
    case 'environment':
      return origin.name;
    case 'context':
    case 'queue':
      return `${origin.kind} ${origin.name}`;
    case 'default':
      return 'default';
  }
}

/** How a message begins: a value of a file is named by its place. */
export function placeOf(origin: Origin): string {
  return origin.kind === 'context' ? `${origin.location} (context ${origin.name})` : describeOrigin(origin);
}
