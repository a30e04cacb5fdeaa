// Variables for an execution: `--env NAME=value` and the lines of `--env-file`.
import { resolve } from 'node:path';
import { KubiyaError, messageOf } from '../../errors.ts';
import { readTextFile } from '../../lib/bounded-file.ts';
import { usage } from '../flags.ts';

/** What a shell and Python take as a name; nothing of it has to be quoted anywhere. */
const namePattern = /^[A-Za-z_][A-Za-z0-9_]*$/;

export interface VariableSources {
  readonly pairs: readonly string[];
  readonly file: string | undefined;
  readonly cwd: string;
}

/** The flags win over the file. Undefined when there is none. A value is never shown in an error: it may be a secret. */
export function readVariables({ pairs, file, cwd }: VariableSources): Record<string, string> | undefined {
  const fromFile = file === undefined ? [] : parseFile(resolve(cwd, file));
  const given = pairs.map((pair) => {
    const equals = pair.indexOf('=');
    const name = pair.slice(0, equals === -1 ? undefined : equals);
    if (equals === -1) throw usage(`--env ${JSON.stringify(name)} has no value`, 'flag_invalid', 'write NAME=value');
    if (!namePattern.test(name)) throw usage(`--env ${JSON.stringify(name)} is no name of a variable`, 'flag_invalid');
    return [name, pair.slice(equals + 1)] as const;
  });
  const all = Object.fromEntries([...fromFile, ...given]);
  return Object.keys(all).length === 0 ? undefined : all;
}

/** `NAME=value` a line, as docker and dotenv write it: comments, `export`, quotes; escapes only in double quotes. */
function parseFile(path: string): (readonly [string, string])[] {
  return readFile(path)
    .split(/\r?\n/)
    .flatMap((line, index) => {
      const text = line.trim().replace(/^export\s+/, '');
      if (text === '' || text.startsWith('#')) return [];
      const match = /^([^=\s]+)\s*=\s*(.*)$/.exec(text);
      const [, name = '', value = ''] = match ?? [];
      if (!namePattern.test(name))
        throw usage(`line ${index + 1} of ${path} is no NAME=value`, 'env_file_invalid', 'comments begin with #');
      return [[name, unquote(value)] as const];
    });
}

function unquote(value: string): string {
  const quoted = /^(['"])(.*)\1\s*(?:#.*)?$/.exec(value);
  if (quoted === null) return value.replace(/\s+#.*$/, '');
  const [, quote, inner = ''] = quoted;
  return quote === "'"
    ? inner
    : inner.replaceAll(/\\([nrt"\\$])/g, (_, character: string) => escapes[character] ?? character);
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

function readFile(path: string): string {
  try {
    return readTextFile(path);
  } catch (error) {
    throw new KubiyaError(`the file ${path} cannot be read: ${messageOf(error)}`, {
      kind: 'usage',
      code: 'env_file_unreadable',
      hint: 'check the path given to --env-file',
      cause: error,
    });
  }
}
