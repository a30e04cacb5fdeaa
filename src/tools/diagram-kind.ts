// What a kind of diagram is: what it takes, and how that becomes Mermaid source and a drawing.
import * as v from 'valibot';
import type { Attempt } from './tool.ts';

export interface Drawing {
  readonly kind: string;
  readonly title: string;
  /** Mermaid. */
  readonly source: string;
  readonly svg?: string;
}

export interface DiagramKind {
  readonly description: string;
  readonly input: v.GenericSchema<unknown, object>;
  draw(given: object): Attempt<Drawing>;
}

/** Beyond these nobody can read it. */
export const partsMax = 200;
export const linesMax = 60;
const labelCharactersMax = 120;

export const label = v.pipe(
  v.string(),
  v.trim(),
  v.minLength(1),
  v.maxLength(labelCharactersMax),
  v.check((text) => !/\p{Cc}/u.test(text), 'must be one line without control characters'),
);
export const list = <TSchema extends v.GenericSchema>(item: TSchema) =>
  v.pipe(v.array(item), v.minLength(1), v.maxLength(partsMax));
export const links = v.optional(
  v.pipe(v.array(v.strictObject({ to: label, label: v.optional(label) })), v.maxLength(partsMax)),
  [],
);
export const lines = v.optional(v.pipe(v.array(label), v.maxLength(linesMax)), []);

export function defineDiagram<TSchema extends v.GenericSchema<unknown, object>>(
  description: string,
  input: TSchema,
  draw: (given: v.InferOutput<TSchema>) => Attempt<Drawing>,
): DiagramKind {
  return { description, input, draw: (given) => draw(v.parse(input, given)) };
}

/** The first name that is used but not declared, as a sentence. */
export function undeclared(names: readonly string[], used: readonly string[]): Attempt<never> | undefined {
  const missing = used.find((name) => !names.includes(name));
  if (missing !== undefined)
    return { ok: false, problem: `${missing} is used, but it is not among ${names.join(', ')}` };
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  return twice === undefined ? undefined : { ok: false, problem: `${twice} is there twice` };
}

export function done(kind: string, heading: string, body: readonly string[], svg?: string): Attempt<Drawing> {
  const source = `---\ntitle: ${JSON.stringify(heading)}\n---\n${body.join('\n')}\n`;
  return { ok: true, value: { kind, title: heading, source, ...(svg === undefined ? {} : { svg }) } };
}
