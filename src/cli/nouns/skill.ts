// What is said of a skill that was created or changed.
import type { Skill } from '../../protocol/control-plane.ts';
import type { Output } from '../output.ts';
import { printThing } from '../table.ts';

/** Workers ignore keys that they do not know, so a misspelt `allowed_commands` would allow everything. */
export async function printSkill(output: Output, skill: Skill, isJson: boolean): Promise<void> {
  await printThing(output, skill, isJson);
  const { listSkillTypes } = await import('../../processes/skill-types.ts');
  const known = listSkillTypes().find(({ type }) => type === skill.type);
  if (known === undefined) return;
  const names = new Set(['variant', ...known.keys.map(({ name }) => name)]);
  const strange = Object.keys(skill.configuration ?? {}).filter((key) => !names.has(key));
  if (strange.length === 0) return;
  const words = `warning: skills of type ${known.type} have no setting ${strange.join(', ')}, so it is ignored: \`kubiya skill types\` lists them`;
  await output.note(output.stderr.foreign(words));
}
