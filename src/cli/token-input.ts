// A token from where others do not see it: a file or stdin.
import { resolve } from 'node:path';
import { KubiyaError, messageOf } from '../errors.ts';
import { readTextFile, UnusableFileError } from '../lib/bounded-file.ts';
import { usage } from './flags.ts';
import { readBounded } from './stdin.ts';

/** The cloud's tokens have 1 to 2 kB, and a header of any server is cut at 8 to 64 kB. */
const tokenBytesMax = 64 * 1024;

/** `-` is stdin. The token is not empty and can be sent in a header; it is never part of an error. */
export async function readToken(path: string, cwd: string): Promise<string> {
  return checkedToken(path === '-' ? await readBounded(process.stdin, tokenBytesMax) : readFile(path, cwd));
}

export function checkedToken(text: string): string {
  const token = text.trim();
  if (token.length <= tokenBytesMax && /^[\x21-\x7e]+$/.test(token)) return token;
  const problem =
    token === '' ? 'the token is empty' : 'the token has a blank, a line break or a character that no token has';
  throw usage(token.length > tokenBytesMax ? 'the token is too long to be one' : problem, 'token_invalid');
}

function readFile(path: string, cwd: string): string {
  try {
    return readTextFile(resolve(cwd, path));
  } catch (error) {
    const reason = error instanceof UnusableFileError ? `${path} ${error.message}` : messageOf(error);
    throw new KubiyaError(`--token-file cannot be read: ${reason}`, {
      kind: 'configuration',
      code: 'token_file_unreadable',
      hint: 'check the path and the permissions of that file',
      cause: error,
    });
  }
}
