// Reads a skill's configuration: the keys each skill declares, sizes in words, and what was not understood as sentences.
import * as v from 'valibot';
import type { ResolvedSkill } from '../protocol/tool.ts';
import type { Tool } from './tool.ts';

/** What a skill's builder returns: its tools, and what in its configuration it had to ignore. */
export interface SkillTools {
  readonly tools: readonly Tool[];
  readonly problems: readonly string[];
}

export type ParsedConfiguration<TConfiguration> =
  | { readonly ok: true; readonly configuration: TConfiguration; readonly problems: readonly string[] }
  | { readonly ok: false; readonly problems: readonly string[] };

/** Unknown keys are ignored with a problem; a wrong value makes the skill unusable, because a policy may not be guessed. */
export function parseConfiguration<const TEntries extends v.ObjectEntries>(
  skill: ResolvedSkill,
  entries: TEntries,
): ParsedConfiguration<v.InferOutput<v.ObjectSchema<TEntries, undefined>>> {
  // The control plane sends null for keys that are not set.
  const given = Object.fromEntries(Object.entries(skill.configuration).filter(([, value]) => value !== null));
  const unknown = Object.keys(given).filter((key) => !Object.hasOwn(entries, key));
  const result = v.safeParse(v.object(entries), given);
  if (result.success) {
    const problems = unknown.map((key) => `Skill ${skill.name} has the unknown setting ${key}, which is ignored`);
    return { ok: true, configuration: result.output, problems };
  }
  return {
    ok: false,
    problems: result.issues.map(
      (issue) =>
        `Skill ${skill.name} is not available: its setting ${v.getDotPath(issue) ?? '?'} is wrong. ${issue.message}`,
    ),
  };
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
