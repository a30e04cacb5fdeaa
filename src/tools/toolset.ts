// Which tools an agent has: its skills' types and configurations, turned into tools.
import type { ToolSpec } from '../protocol/model.ts';
import type { ResolvedSkill } from '../protocol/tool.ts';
import type { Tool } from './tool.ts';

export interface Toolset {
  readonly tools: ReadonlyMap<string, Tool>;
  /** In a stable order, for the model request. */
  readonly specs: readonly ToolSpec[];
  /** Sentences for the user: unknown skill types, configuration keys and values that were not understood. */
  readonly problems: readonly string[];
}

/** The first skill that defines a tool's name wins; a skill whose configuration is wrong gives no tools, only a problem. */
export function createToolset(_skills: readonly ResolvedSkill[]): Toolset {
  return { tools: new Map(), specs: [], problems: [] };
}
