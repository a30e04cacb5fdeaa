// The list of all kinds of skills, and what each has, for people and programs.
import { toJsonSchema } from '@valibot/to-json-schema';
import * as v from 'valibot';
import { agentCommunicationSkill } from './agent-communication.ts';
import { approvalSkill } from './approval.ts';
import type { SkillType } from './configuration.ts';
import { customSkill } from './custom.ts';
import { dataVisualizationSkill } from './data-visualization.ts';
import { dockerSkill } from './docker.ts';
import { fileGenerationSkill, fileSystemSkill } from './files.ts';
import { pythonSkill } from './python.ts';
import { shellSkill } from './shell.ts';
import { sleepSkill } from './sleep.ts';
import { workflowExecutorSkill } from './workflow-executor.ts';

export const skillTypes: readonly SkillType[] = [
  shellSkill,
  fileSystemSkill,
  pythonSkill,
  fileGenerationSkill,
  dataVisualizationSkill,
  dockerSkill,
  customSkill,
  workflowExecutorSkill,
  sleepSkill,
  agentCommunicationSkill,
  approvalSkill,
];

export interface SkillTypeDescription {
  readonly type: string;
  readonly description: string;
  readonly variants: readonly {
    readonly name: string;
    readonly description: string;
    readonly values: Readonly<Record<string, unknown>>;
    /** Keys that a skill of this variant cannot change. */
    readonly locked: readonly string[];
  }[];
  readonly keys: readonly { readonly name: string; readonly description: string; readonly schema: object }[];
  /** The tools that some configuration gives; tools that a configuration declares are not among them. */
  readonly tools: readonly { readonly name: string; readonly description: string }[];
}

export function describeSkillTypes(): SkillTypeDescription[] {
  return skillTypes.map((skillType) => ({
    type: skillType.type,
    description: skillType.description,
    variants: Object.entries(skillType.variants).map(([name, { description, values, locked = [] }]) => ({
      name,
      description,
      values,
      locked,
    })),
    keys: Object.entries(skillType.entries).map(([name, entry]) => describeKey(name, entry)),
    tools: toolsOf(skillType),
  }));
}

function describeKey(name: string, entry: v.ObjectEntries[string]): SkillTypeDescription['keys'][number] {
  const whole = toJsonSchema(v.object({ [name]: entry }), {
    typeMode: 'input',
    // What JSON Schema cannot say (a check, a pattern that ignores case) is left out: this is for readers.
    errorMode: 'ignore',
  });
  const { description: _own, ...schema } = Object(whole.properties?.[name]) as { readonly description?: string };
  return {
    name,
    description: wordsOf(entry),
    schema,
  };
}

/** The sentence stands inside what makes the key optional. */
function wordsOf(entry: v.ObjectEntries[string]): string {
  const inner = 'wrapped' in entry ? entry.wrapped : entry;
  return v.getDescription(inner) ?? '';
}

function toolsOf(skillType: SkillType): SkillTypeDescription['tools'] {
  const { type } = skillType;
  const tools = [undefined, ...Object.keys(skillType.variants)].flatMap((variant) => {
    const configuration = variant === undefined ? {} : { variant };
    return skillType.create({ id: type, name: type, type, enabled: true, configuration }).tools;
  });
  const descriptions = new Map(tools.map(({ name, spec }) => [name, spec.description]));
  return Array.from(descriptions, ([name, description]) => ({ name, description }));
}
