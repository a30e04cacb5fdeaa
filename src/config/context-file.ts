// Reads the current context of ~/.kubiya/config: its URL and its user's token (protocol.md §6.1).
import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { errnoOf, KubiyaError, messageOf } from '../errors.ts';

const optionalText = v.nullish(v.string());
const contextFileSchema = v.object({
  'current-context': optionalText,
  contexts: v.nullish(
    v.array(
      v.object({ name: v.string(), context: v.nullish(v.object({ 'api-url': optionalText, user: optionalText })) }),
    ),
  ),
  users: v.nullish(v.array(v.object({ name: v.string(), user: v.nullish(v.object({ token: optionalText })) }))),
});

export interface Context {
  readonly name: string;
  readonly url: string | undefined;
  readonly token: string | undefined;
}

/** The wanted context, else the current one; undefined when there is no file or it names none. Throws on a broken file. */
export async function readContext(path: string, wanted: string | undefined): Promise<Context | undefined> {
  const text = readIfThere(path);
  if (text === undefined) {
    if (wanted === undefined) return undefined;
    throw broken(path, `it does not exist, but KUBIYA_CONTEXT names the context "${wanted}"`);
  }
  const file = await parseFile(path, text);
  const name = wanted ?? file['current-context'] ?? '';
  if (name === '') return undefined;
  const context = file.contexts?.find((candidate) => candidate.name === name)?.context;
  if (context === undefined) throw broken(path, `it has no context "${name}"`);
  const user = file.users?.find((candidate) => candidate.name === context?.user)?.user;
  return { name, url: context?.['api-url'] ?? undefined, token: user?.token ?? undefined };
}

async function parseFile(path: string, text: string): Promise<v.InferOutput<typeof contextFileSchema>> {
  // Loaded here and not above: most machines have no such file, and the parser is the dearest import of a short command.
  const { parse } = await import('yaml');
  let value: unknown;
  try {
    // Its warnings go to stderr and quote the file as well.
    value = parse(text, { logLevel: 'error' }) ?? {};
  } catch (error) {
    // Only the first line of the parser's message: the next ones quote the file, which holds tokens.
    throw broken(path, messageOf(error).split('\n')[0] ?? 'it is not YAML', error);
  }
  const result = v.safeParse(contextFileSchema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw broken(path, `${v.getDotPath(issue) ?? 'the file'} should be ${issue.expected ?? 'something else'}`);
}

function broken(path: string, problem: string, cause?: unknown): KubiyaError {
  return new KubiyaError(`the context file ${path} cannot be used: ${problem}`, {
    kind: 'configuration',
    code: 'context_file_invalid',
    hint: 'correct the file, or set KUBIYA_CONFIG to another one',
    cause,
  });
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined;
    throw broken(path, messageOf(error), error);
  }
}
