// Reads the context file, ~/.kubiya/config: contexts with their URL and user, users with their token; shared with other programs.
import { statSync } from 'node:fs';
import type { Document } from 'yaml';
import * as v from 'valibot';
import { errnoOf, KubiyaError, messageOf } from '../errors.ts';
import { readTextFile } from '../lib/bounded-file.ts';

/** Ten thousand contexts; a file beyond it is something else. */
export const contextFileBytesMax = 1024 * 1024;
/** A file that is no context file at all would give hundreds. */
const problemsMax = 10;

/** A value with the place where it stands, `file:line:column`. */
export interface Located {
  readonly value: string;
  readonly location: string;
}

export interface Context {
  readonly name: string;
  readonly location: string;
  readonly url: Located | undefined;
  readonly organization: string | undefined;
  readonly user: string | undefined;
  /** That of its user. */
  readonly token: Located | undefined;
}

export interface ContextFile {
  readonly current: Located | undefined;
  readonly contexts: readonly Context[];
  /** Somebody else on this machine may read it, and with it the tokens. */
  readonly isReadableByOthers: boolean;
}

/** One thing that is wrong in the file; never shows a value, because some are tokens. */
export interface FileProblem {
  readonly location: string;
  readonly message: string;
}

export type Reading<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly FileProblem[] };

// Every scalar counts as text, as it does for the programs that share this file: a token may be all digits.
const text = v.nullish(v.string());
const fileSchema = v.object({
  'current-context': text,
  contexts: v.nullish(
    v.array(
      v.object({
        name: v.string(),
        context: v.nullish(v.object({ 'api-url': text, organization: text, user: text })),
      }),
    ),
  ),
  users: v.nullish(v.array(v.object({ name: v.string(), user: v.nullish(v.object({ token: text })) }))),
});

/** Nothing there is an empty file. */
export async function readContextFile(path: string): Promise<Reading<ContextFile>> {
  const source = readSource(path);
  if (!source.ok) return source;
  const parsed = await parseDocument(path, source.value);
  if (!parsed.ok) return parsed;
  const { locate } = parsed.value;
  const problem = (message: string, keys: readonly unknown[] = []): FileProblem => ({
    location: locate(keys),
    message,
  });
  const plain = await textsOf(parsed.value);
  if (!plain.ok) return plain;
  const result = v.safeParse(fileSchema, plain.value);
  if (!result.success) {
    const problems = result.issues.map((issue) => {
      const keys = issue.path?.map(({ key }) => key) ?? [];
      const name = keys.findLast((key) => typeof key === 'string') ?? 'the file';
      return problem(`${name} must be ${words[issue.expected ?? ''] ?? 'something else'}`, keys);
    });
    return { ok: false, problems: problems.slice(0, problemsMax) };
  }
  const { contexts, users, 'current-context': current } = result.output;
  const duplicates = [...duplicatesOf('contexts', contexts ?? []), ...duplicatesOf('users', users ?? [])];
  if (duplicates.length > 0) {
    return { ok: false, problems: duplicates.slice(0, problemsMax).map(({ message, keys }) => problem(message, keys)) };
  }
  const located = (value: string | null | undefined, ...keys: unknown[]): Located | undefined =>
    value === null || value === undefined || value === '' ? undefined : { value, location: locate(keys) };
  return {
    ok: true,
    value: {
      current: located(current, 'current-context'),
      contexts: (contexts ?? []).map(({ name, context }, index) => {
        const userIndex = (users ?? []).findIndex((user) => user.name === context?.user);
        return {
          name,
          location: locate(['contexts', index, 'name']),
          url: located(context?.['api-url'], 'contexts', index, 'context', 'api-url'),
          organization: context?.organization || undefined,
          user: context?.user || undefined,
          token: located(users?.[userIndex]?.user?.token, 'users', userIndex, 'user', 'token'),
        };
      }),
      isReadableByOthers: isReadableByOthers(path),
    },
  };
}

const words: Readonly<Record<string, string>> = {
  string: 'a text',
  Array: 'a list',
  Object: 'a map',
  '"name"': 'given',
};

/** The same for commands that are about this file, where a broken one is the only problem. */
export async function contextFileOf(path: string): Promise<ContextFile> {
  return unwrap(await readContextFile(path));
}

/** Throws a KubiyaError with every problem. */
export function unwrap<T>(reading: Reading<T>): T {
  if (reading.ok) return reading.value;
  throw fileError(reading.problems);
}

function fileError(problems: readonly FileProblem[]): KubiyaError {
  const lines = problems.map(({ location, message }) => `${location}: ${message}`);
  return new KubiyaError(
    lines.length === 1 ? (lines[0] ?? '') : `the context file cannot be used:\n  ${lines.join('\n  ')}`,
    { kind: 'configuration', code: 'context_file_invalid', hint: fileHint },
  );
}

export const fileHint = 'correct the file, or set KUBIYA_CONFIG to another one';

/** The text of the file, empty when there is none. */
export function readSource(path: string): Reading<string> {
  try {
    return { ok: true, value: readTextFile(path, contextFileBytesMax) };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return { ok: true, value: '' };
    return { ok: false, problems: [{ location: path, message: messageOf(error) }] };
  }
}

export interface ParsedFile {
  readonly document: Document;
  /** The place of the value under these keys, or of the nearest thing above it. */
  readonly locate: (keys: readonly unknown[]) => string;
}

/**
 * The file as a document that remembers comments and unknown keys. With the schema `failsafe` every scalar is a text, which is
 * written back as it was: a token `0123` is no number.
 */
export async function parseDocument(
  path: string,
  source: string,
  schema: 'core' | 'failsafe' = 'core',
): Promise<Reading<ParsedFile>> {
  // Loaded here and not above: most machines have no such file, and the parser is the dearest import of a short command.
  const yaml = await import('yaml');
  const lineCounter = new yaml.LineCounter();
  const place = (offset: number): string => {
    const { line, col } = lineCounter.linePos(offset);
    return `${path}:${line}:${col}`;
  };
  // `merge`: other programs that read this file know `<<`. Warnings go to stderr, and pretty errors quote the file: both would show tokens.
  const document = yaml.parseDocument(source, {
    schema,
    merge: schema === 'core',
    lineCounter,
    prettyErrors: false,
    logLevel: 'error',
  });
  if (document.errors.length > 0) {
    const problems = document.errors.map(({ pos, message }) => ({
      location: place(pos[0]),
      // Behind a colon some messages repeat what they met.
      message: `${message.split(': ')[0] ?? 'it'} (YAML)`,
    }));
    return { ok: false, problems: problems.slice(0, problemsMax) };
  }
  const locate = (keys: readonly unknown[]): string => {
    for (let length = keys.length; length >= 0; length--) {
      const node: unknown = length === 0 ? document.contents : document.getIn(keys.slice(0, length), true);
      if (yaml.isNode(node) && node.range) return place(node.range[0]);
    }
    return `${path}:1:1`;
  };
  return { ok: true, value: { document, locate } };
}

/** The document as plain data in which every scalar is the text that stands there. The document itself is used up by it. */
async function textsOf(file: ParsedFile): Promise<Reading<object>> {
  const { isMap, visit } = await import('yaml');
  const { document, locate } = file;
  visit(document, {
    Scalar: (_key, node) => {
      if (typeof node.value !== 'string' && node.value !== null) node.value = node.source ?? '';
    },
  });
  const data = dataOf(file);
  if (!data.ok) return data;
  if (isMap(document.contents)) return { ok: true, value: data.value as object };
  if (data.value === null) return { ok: true, value: {} };
  return { ok: false, problems: [{ location: locate([]), message: 'the file must be a map' }] };
}

/** The document as plain data that can be written as JSON. */
export function dataOf({ document, locate }: ParsedFile): Reading<unknown> {
  if (document.contents === null) return { ok: true, value: null };
  try {
    const data: unknown = document.toJS();
    JSON.stringify(data);
    return { ok: true, value: data };
  } catch {
    // An alias of nothing or of what it stands in, or so many of them that they are an attack on memory.
    return {
      ok: false,
      problems: [{ location: locate([]), message: 'an alias in the file cannot be resolved (YAML)' }],
    };
  }
}

function duplicatesOf(list: 'contexts' | 'users', entries: readonly { readonly name: string }[]) {
  return entries.flatMap(({ name }, index) => {
    const first = entries.findIndex((entry) => entry.name === name);
    const message = `a second one of the ${list} has the name "${name}"`;
    return first === index ? [] : [{ message, keys: [list, index, 'name'] }];
  });
}

function isReadableByOthers(path: string): boolean {
  if (process.platform === 'win32') return false;
  try {
    return (statSync(path).mode & 0o044) !== 0;
  } catch {
    // Not there, or below a file: then nobody reads it.
    return false;
  }
}
