// The skill `sleep`: the tool sleep, a timer of the workflow that holds no worker.
import * as v from 'valibot';
import type { ResolvedSkill } from '../protocol/tool.ts';
import { type SkillTools, type SkillType, parseConfiguration, setting } from './configuration.ts';
import description from './sleep.txt' with { type: 'text' };
import { definePlannedTool } from './tool.ts';

/** A day: whoever waits longer wants a schedule. */
const durationSecondsDefault = 86_400;
/** 30 days, after which nobody remembers why. */
const durationSecondsMax = 30 * 86_400;

const entries = {
  max_duration: setting(
    v.pipe(v.number(), v.minValue(1), v.maxValue(durationSecondsMax)),
    'longest sleep in seconds; 86400 unless set',
  ),
};

const input = v.strictObject({ seconds: v.pipe(v.number(), v.minValue(0.001), v.description('How long to wait')) });

export const sleepSkill = {
  type: 'sleep',
  description: 'Wait without holding a worker',
  entries,
  variants: {},
  create: createSleepTools,
} satisfies SkillType;

function createSleepTools(skill: ResolvedSkill): SkillTools {
  const parsed = parseConfiguration(skill, sleepSkill);
  if (!parsed.ok) return { tools: [], problems: parsed.problems };
  const secondsMax = parsed.configuration.max_duration ?? durationSecondsDefault;
  const tool = definePlannedTool({
    name: 'sleep',
    description,
    input,
    // Not for its sake, but because the calls behind it mean to wait for it.
    effect: 'side_effecting',
    usualTimeMs: 0,
    plan: ({ seconds }) =>
      seconds > secondsMax
        ? { ok: false, problem: `The longest sleep is ${secondsMax} s` }
        : { ok: true, value: { type: 'sleep', durationMs: Math.ceil(seconds * 1000) } },
  });
  return { tools: [tool], problems: parsed.problems };
}
