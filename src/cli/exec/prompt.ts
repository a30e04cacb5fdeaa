// Where the prompt comes from: the argument, stdin, or a file.
import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { KubiyaError, messageOf } from '../../errors.ts';
import { promptCharactersMax } from '../../protocol/control-plane.ts';
import { usage } from '../flags.ts';
import { readBounded } from '../stdin.ts';
import { continuationHint } from '../strict.ts';

/** A character has at most 4 bytes, and the white space around the prompt does not count: more than this is no prompt. */
const promptBytesMax = 8 * promptCharactersMax;

export interface PromptSources {
  readonly argument: string | undefined;
  readonly file: string | undefined;
  readonly cwd: string;
}

export async function readPrompt({ argument, file, cwd }: PromptSources): Promise<string> {
  if (argument !== undefined && file !== undefined)
    throw usage('the prompt is given twice', 'prompt_repeated', 'leave out the argument or --prompt-file');
  if (argument === undefined && file === undefined) {
    throw usage(
      'the prompt is missing',
      'prompt_missing',
      'write it in quotes, name a file with --prompt-file, or use - to read stdin',
    );
  }
  const source = file === undefined ? argument : resolve(cwd, file);
  const prompt =
    file === undefined
      ? argument === '-'
        ? await readBounded(process.stdin, promptBytesMax)
        : (argument ?? '')
      : await readPromptFile(source ?? '');
  const trimmed = prompt.trim();
  if (trimmed === '' || trimmed === '\\')
    throw usage('the prompt is empty', 'prompt_empty', continuationHint(prompt) ?? 'say what the agent is to do');
  if (trimmed.length > promptCharactersMax) {
    throw usage(
      `the prompt is too long: at most ${promptCharactersMax} characters are taken`,
      'prompt_too_long',
      'put the text into a file and let the agent read it',
    );
  }
  return trimmed;
}

async function readPromptFile(path: string): Promise<string> {
  try {
    return await readBounded(createReadStream(path), promptBytesMax);
  } catch (error) {
    throw new KubiyaError(`the prompt file ${path} cannot be read: ${messageOf(error)}`, {
      kind: 'usage',
      code: 'prompt_file_unreadable',
      hint: 'check the path given to --prompt-file',
      cause: error,
    });
  }
}
