// Reads a skill's configuration: the keys each skill declares, sizes in words, and what was not understood as sentences.
import * as v from 'valibot';
import type { ResolvedSkill } from '../protocol/tool.ts';
import type { Tool } from './tool.ts';

/** What a skill's builder returns: its tools, and what in its configuration it had to ignore. */
export interface SkillTools {
  readonly tools: readonly Tool[];
  readonly problems: readonly string[];
}

/** A named preset of a skill's keys. */
export interface SkillVariant {
  readonly description: string;
  /** What the keys are unless the skill says otherwise; of a locked key, whatever it says. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly locked?: readonly string[];
}

/** One kind of skill: the reference for its keys, variants and tools. */
export interface SkillType<TEntries extends v.ObjectEntries = v.ObjectEntries, TVariant extends string = string> {
  readonly type: string;
  readonly description: string;
  /** Every key, each with a description for people. */
  readonly entries: TEntries;
  readonly variants: Readonly<Record<TVariant, SkillVariant>>;
  create(skill: ResolvedSkill): SkillTools;
}

export type ParsedConfiguration<TEntries extends v.ObjectEntries, TVariant extends string> =
  | {
      readonly ok: true;
      readonly configuration: v.InferOutput<v.ObjectSchema<TEntries, undefined>>;
      readonly variant: TVariant | undefined;
      /** Keys that the skill itself sets, not its variant. */
      readonly given: ReadonlySet<string>;
      readonly problems: readonly string[];
    }
  | { readonly ok: false; readonly problems: readonly string[] };

/** Unknown keys are ignored with a problem; a wrong value makes the skill unusable, because a policy may not be guessed. */
export function parseConfiguration<TEntries extends v.ObjectEntries, TVariant extends string>(
  skill: ResolvedSkill,
  { entries, variants }: Pick<SkillType<TEntries, TVariant>, 'entries' | 'variants'>,
): ParsedConfiguration<TEntries, TVariant> {
  const problems: string[] = [];
  // The control plane sends null for keys that are not set.
  const set = Object.entries(skill.configuration).filter(([, value]) => value !== null);
  const variant = skill.configuration['variant'] ?? skill.variant ?? undefined;
  if (variant !== undefined && !isVariant(variants, variant)) {
    const known = Object.keys(variants);
    const choice = known.length === 0 ? `skills of type ${skill.type} have none` : `expected ${known.join(', ')}`;
    return {
      ok: false,
      problems: [`Skill ${skill.name} is not available: its variant ${JSON.stringify(variant)} is unknown, ${choice}`],
    };
  }
  const preset: SkillVariant | undefined = variant === undefined ? undefined : variants[variant];
  const given = new Map<string, unknown>();
  for (const [key, value] of set) {
    if (key === 'variant') continue;
    if (!Object.hasOwn(entries, key)) {
      problems.push(`Skill ${skill.name} has the unknown setting ${key}, which is ignored`);
    } else if (preset?.locked?.includes(key) === true) {
      problems.push(`Skill ${skill.name} is ${String(variant)}, so its own ${key} is ignored`);
    } else {
      given.set(key, value);
    }
  }
  const result = v.safeParse(v.object(entries), { ...preset?.values, ...Object.fromEntries(given) });
  if (result.success) {
    return { ok: true, configuration: result.output, variant, given: new Set(given.keys()), problems };
  }
  return {
    ok: false,
    problems: result.issues.map(
      (issue) =>
        `Skill ${skill.name} is not available: its setting ${v.getDotPath(issue) ?? '?'} is wrong. ${issue.message}`,
    ),
  };
}

function isVariant<TVariant extends string>(
  variants: Readonly<Record<TVariant, SkillVariant>>,
  name: unknown,
): name is TVariant {
  return typeof name === 'string' && Object.hasOwn(variants, name);
}

const unitBytes: Readonly<Record<string, number>> = { '': 1, b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 };

/** Bytes as a number, or text such as `10MB` and `2 GB`. */
export const sizeSchema = v.pipe(
  v.union([
    v.pipe(v.number(), v.integer(), v.minValue(1)),
    v.pipe(v.string(), v.regex(/^[1-9][0-9]{0,9} *([kmg]?b)?$/i)),
  ]),
  v.transform((value) => {
    if (typeof value === 'number') return value;
    const [, digits = '', unit = ''] = /^([0-9]+) *([a-z]*)$/i.exec(value) ?? [];
    return Number(digits) * (unitBytes[unit.toLowerCase()] ?? 1);
  }),
);

/** Longer than any tool call should hold its worker; an agent that needs more starts something and looks later. */
export const toolSecondsMax = 3_600;

export const secondsSchema = v.pipe(v.number(), v.minValue(1), v.maxValue(toolSecondsMax));

const nameSchema = v.pipe(v.string(), v.trim(), v.minLength(1));

/** A list of names, also as one comma-separated text as forms send it. */
export const namesSchema = v.union([
  v.array(nameSchema),
  v.pipe(
    v.string(),
    v.transform((text) =>
      text
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== ''),
    ),
  ),
]);

/** An optional key of a skill with its sentence for people. */
export function setting<TSchema extends v.GenericSchema>(schema: TSchema, description: string) {
  return v.optional(v.pipe(schema, v.description(description)));
}
