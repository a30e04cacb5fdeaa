// The body of a create or an update: what a file says, and over it what the flags say.
import { resolve } from 'node:path';
import * as v from 'valibot';
import { KubiyaError, messageOf } from '../../errors.ts';
import { readTextFile, smallFileBytesMax } from '../../lib/bounded-file.ts';
import { usage } from '../flags.ts';
import { readBounded } from '../stdin.ts';
import { seeHelp } from '../strict.ts';
import { suggestion } from '../suggest.ts';

/** The flag of every command that creates or changes a thing. */
export const fileFlag = {
  type: 'text',
  valueName: 'file',
  description: 'fields as YAML or JSON, as `get --json` prints them; flags win over it; - reads stdin',
} as const;

type Fields = Readonly<Record<string, unknown>>;

interface ObjectSchema extends v.GenericSchema {
  readonly entries: Readonly<Record<string, unknown>>;
}

export interface BodySources<S extends ObjectSchema> {
  readonly schema: S;
  /** What the server answers: fields of it that cannot be set are left out, so that what `get` printed can be used. */
  readonly answer: ObjectSchema;
  readonly file: string | undefined;
  readonly cwd: string;
  /** Undefined: not given. Objects are laid over those of the file, else of `current`. */
  readonly flags: Fields;
  /** The thing as it is, for an update: the server replaces an object as a whole. */
  readonly current?: Fields;
}

/** Throws a usage error that names every field that is wrong. */
export async function readBody<S extends ObjectSchema>(sources: BodySources<S>): Promise<v.InferInput<S>> {
  const { schema, answer, flags, current } = sources;
  const fromFile = sources.file === undefined ? {} : await readFields(sources.file, sources.cwd);
  const known = new Set([...Object.keys(schema.entries), ...Object.keys(answer.entries)]);
  const strange = Object.keys(fromFile).find((name) => !known.has(name));
  if (strange !== undefined) {
    const hint = suggestion(strange, Object.keys(schema.entries), `fields: ${Object.keys(schema.entries).join(', ')}`);
    throw usage(`there is no field ${JSON.stringify(strange)}`, 'file_invalid', hint);
  }
  const body: Record<string, unknown> = {};
  for (const name of Object.keys(schema.entries)) {
    const value = overlaid(fromFile[name] ?? (isObject(flags[name]) ? current?.[name] : undefined), flags[name]);
    if (value !== undefined) body[name] = value;
  }
  const parsed = v.safeParse(schema, body);
  if (parsed.success) return body;
  const problems = parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'it'}: ${sentenceOf(issue.message)}`);
  throw usage(`not what is expected: ${problems.join('; ')}`, 'body_invalid', 'say it with a flag, or in --file');
}

/** Before anybody is asked anything: flags that a file would make unnecessary. */
export function requireFlags(args: Fields & { readonly file: string | undefined }, names: readonly string[]): void {
  const missing = names.find((name) => args[name] === undefined);
  if (missing === undefined || args.file !== undefined) return;
  throw usage(`--${missing} is missing`, 'flag_missing', seeHelp);
}

/** An update that changes nothing is a mistake of whoever wrote it. */
export function refuseEmpty(body: object): void {
  if (Object.keys(body).length > 0) return;
  throw usage('there is nothing to change', 'nothing_to_change', 'name a field with a flag, or several in --file');
}

function sentenceOf(message: string): string {
  return /received undefined/.test(message) ? 'is required' : message.replace(/ (but|and) received .*/s, '');
}

function overlaid(below: unknown, above: unknown): unknown {
  if (above === undefined) return below;
  if (!isObject(above) || !isObject(below)) return above;
  const entries = Object.entries(above).filter(([, value]) => value !== undefined);
  return { ...below, ...Object.fromEntries(entries.map(([name, value]) => [name, overlaid(below[name], value)])) };
}

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

async function readFields(file: string, cwd: string): Promise<Fields> {
  const name = file === '-' ? 'stdin' : resolve(cwd, file);
  try {
    const text = file === '-' ? await readBounded(process.stdin, smallFileBytesMax) : readTextFile(name);
    // JSON is YAML.
    const { parse } = await import('yaml');
    const value: unknown = parse(text);
    if (isObject(value)) return value;
  } catch (error) {
    throw new KubiyaError(`${name} cannot be read: ${messageOf(error).split('\n', 1)[0] ?? ''}`, {
      kind: 'usage',
      code: 'file_invalid',
      hint: 'it has to be a YAML or JSON file with one field a line, like `name: reviewer`',
      cause: error,
    });
  }
  throw usage(`${name} holds no fields`, 'file_invalid', 'one field a line, like `name: reviewer`');
}
