// Which tools an agent has: its skills' types and configurations, turned into tools.
import type { ToolSpec } from '../protocol/model.ts';
import type { ResolvedSkill } from '../protocol/tool.ts';
import type { SkillTools } from './configuration.ts';
import { createFileTools } from './files.ts';
import { createPythonTools } from './python.ts';
import { createShellTools } from './shell.ts';
import type { Tool } from './tool.ts';

export interface Toolset {
  readonly tools: ReadonlyMap<string, Tool>;
  /** In the order of the skills, for the model request. */
  readonly specs: readonly ToolSpec[];
  /** Sentences for the user: unknown skill types, configuration keys and values that were not understood. */
  readonly problems: readonly string[];
}

const builders: Readonly<Record<string, (skill: ResolvedSkill) => SkillTools>> = {
  shell: createShellTools,
  file_system: createFileTools,
  python: createPythonTools,
};

/** The first skill that defines a tool's name wins; a skill whose configuration is wrong gives no tools, only problems. */
export function createToolset(skills: readonly ResolvedSkill[]): Toolset {
  const tools = new Map<string, Tool>();
  const problems: string[] = [];
  for (const skill of skills) {
    if (!skill.enabled) continue;
    const build = Object.hasOwn(builders, skill.type) ? builders[skill.type] : undefined;
    if (build === undefined) {
      problems.push(`Skill ${skill.name} is not available: this version has no skills of type ${skill.type}`);
      continue;
    }
    const built = build(skill);
    problems.push(...built.problems);
    for (const tool of built.tools) if (!tools.has(tool.name)) tools.set(tool.name, tool);
  }
  return { tools, specs: Array.from(tools.values(), (tool) => tool.spec), problems };
}
