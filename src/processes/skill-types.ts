// The kinds of skills for the command line, which may not know the tools itself.
import { type SkillTypeDescription, describeSkillTypes } from '../tools/skill-types.ts';

export function listSkillTypes(): readonly SkillTypeDescription[] {
  return describeSkillTypes();
}
