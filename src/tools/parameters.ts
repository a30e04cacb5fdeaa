// Parameters that a user declares for a tool, in the part of JSON Schema that is enforced to the letter.
import * as v from 'valibot';
import type { Attempt } from './tool.ts';

/** A tool with more is several tools. */
const parametersMax = 50;
/** The kernel takes no argument of a program above 128 KiB. */
const textCharactersMax = 100_000;

const scalarEntries = {
  description: v.optional(v.string()),
  enum: v.optional(v.pipe(v.array(v.union([v.string(), v.number()])), v.minLength(1))),
  default: v.optional(v.union([v.string(), v.number(), v.boolean()])),
  minimum: v.optional(v.number()),
  maximum: v.optional(v.number()),
  minLength: v.optional(v.number()),
  maxLength: v.optional(v.number()),
  pattern: v.optional(v.string()),
};
const typeNames = ['string', 'number', 'integer', 'boolean', 'array'] as const;

const parameterSchema = v.strictObject({
  type: v.picklist(typeNames),
  ...scalarEntries,
  items: v.optional(v.strictObject({ type: v.picklist(['string', 'number', 'integer', 'boolean']), ...scalarEntries })),
});

/** A JSON Schema of type `object`; a word that is not in here is refused, because it would not be enforced. */
export const parametersSchema = v.strictObject({
  type: v.optional(v.literal('object')),
  properties: v.optional(
    v.pipe(
      v.record(v.pipe(v.string(), v.regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/)), parameterSchema),
      v.check((value) => Object.keys(value).length <= parametersMax, `more than ${parametersMax} parameters`),
    ),
    {},
  ),
  required: v.optional(v.array(v.string()), []),
  additionalProperties: v.optional(v.literal(false)),
});
type Parameter = v.InferOutput<typeof parameterSchema>;
export type Parameters = v.InferOutput<typeof parametersSchema>;

export type ArgumentValue = string | number | boolean | readonly (string | number | boolean)[];
export type Arguments = Readonly<Record<string, ArgumentValue>>;

type ArgumentSchema = v.GenericSchema<unknown, ArgumentValue | undefined>;

/** What the model's arguments must be, or what is wrong with the declaration. */
export function inputOf(parameters: Parameters): Attempt<v.GenericSchema<unknown, object>> {
  const entries: Record<string, ArgumentSchema> = {};
  for (const name of parameters.required) {
    if (!Object.hasOwn(parameters.properties, name))
      return { ok: false, problem: `${name} is required but not declared` };
  }
  for (const [name, parameter] of Object.entries(parameters.properties)) {
    const schema = schemaOf(parameter);
    if (!schema.ok) return { ok: false, problem: `${name}: ${schema.problem}` };
    const described: ArgumentSchema =
      parameter.description === undefined ? schema.value : v.pipe(schema.value, v.description(parameter.description));
    if (parameter.default !== undefined) {
      if (!v.is(schema.value, parameter.default)) return { ok: false, problem: `${name}: its default does not fit` };
      entries[name] = v.optional(described, parameter.default);
    } else {
      entries[name] = parameters.required.includes(name) ? described : v.optional(described);
    }
  }
  return { ok: true, value: v.strictObject(entries) };
}

function schemaOf(parameter: Omit<Parameter, 'type'> & { readonly type: Parameter['type'] }): Attempt<ArgumentSchema> {
  if (parameter.type === 'array') {
    const { items } = parameter;
    if (items === undefined) return { ok: false, problem: 'an array needs items' };
    const item = scalarOf(items);
    return item.ok ? { ok: true, value: v.pipe(v.array(item.value), v.maxLength(1_000)) } : item;
  }
  return scalarOf({ ...parameter, type: parameter.type });
}

type Scalar = string | number | boolean;
type ScalarParameter = Omit<Parameter, 'type' | 'items'> & { readonly type: Exclude<Parameter['type'], 'array'> };

function scalarOf(parameter: ScalarParameter): Attempt<v.GenericSchema<unknown, Scalar>> {
  switch (parameter.type) {
    case 'boolean':
      return { ok: true, value: v.boolean() };
    case 'number':
    case 'integer':
      return { ok: true, value: numberOf(parameter) };
    case 'string':
      return textOf(parameter);
  }
}

function numberOf(parameter: ScalarParameter): v.GenericSchema<unknown, number> {
  const bounded = v.pipe(
    v.number(),
    v.minValue(parameter.minimum ?? -Number.MAX_VALUE),
    v.maxValue(parameter.maximum ?? Number.MAX_VALUE),
  );
  const chosen = parameter.enum?.filter((value) => typeof value === 'number');
  if (chosen !== undefined) return v.picklist(chosen);
  return parameter.type === 'integer' ? v.pipe(bounded, v.integer()) : bounded;
}

function textOf(parameter: ScalarParameter): Attempt<v.GenericSchema<unknown, string>> {
  const chosen = parameter.enum?.filter((value) => typeof value === 'string');
  if (chosen !== undefined) return { ok: true, value: v.picklist(chosen) };
  const bounded = v.pipe(
    v.string(),
    v.minLength(parameter.minLength ?? 0),
    v.maxLength(Math.min(parameter.maxLength ?? textCharactersMax, textCharactersMax)),
  );
  if (parameter.pattern === undefined) return { ok: true, value: bounded };
  try {
    return { ok: true, value: v.pipe(bounded, v.regex(new RegExp(parameter.pattern))) };
  } catch {
    return { ok: false, problem: 'its pattern is no regular expression' };
  }
}
