// Which tools an agent has: its skills' types and configurations, turned into tools.
import type { ToolSpec } from '../protocol/model.ts';
import type { ResolvedSkill } from '../protocol/tool.ts';
import { approvalSkill } from './approval.ts';
import { skillTypes } from './skill-types.ts';
import type { Tool } from './tool.ts';

export interface Toolset {
  readonly tools: ReadonlyMap<string, Tool>;
  /** In the order of the skills, for the model request. */
  readonly specs: readonly ToolSpec[];
  /** Sentences for the user: unknown skill types, configuration keys and values that were not understood. */
  readonly problems: readonly string[];
}

/** What every agent has that can do anything at all; a skill of this type in its list configures it or takes it away. */
const builtIn: ResolvedSkill = {
  id: approvalSkill.type,
  name: approvalSkill.type,
  type: approvalSkill.type,
  enabled: true,
  configuration: {},
};

/**
 * The first skill that defines a tool's name wins; a skill whose configuration is wrong gives no tools, only problems.
 * `others` are tools that come from elsewhere (MCP servers, members of a team).
 */
export function createToolset(skills: readonly ResolvedSkill[], others: readonly Tool[] = []): Toolset {
  const tools = new Map<string, Tool>();
  const problems: string[] = [];
  const add = (tool: Tool): void => {
    if (!tools.has(tool.name)) tools.set(tool.name, tool);
  };
  const addSkill = (skill: ResolvedSkill): void => {
    const type = skillTypes.find((candidate) => candidate.type === skill.type);
    if (type === undefined) {
      problems.push(`Skill ${skill.name} is not available: this version has no skills of type ${skill.type}`);
      return;
    }
    const built = type.create(skill);
    problems.push(...built.problems);
    built.tools.forEach(add);
  };
  skills.filter((skill) => skill.enabled).forEach(addSkill);
  others.forEach(add);
  if (tools.size > 0 && !skills.some((skill) => skill.type === approvalSkill.type)) addSkill(builtIn);
  return { tools, specs: Array.from(tools.values(), (tool) => tool.spec), problems };
}
