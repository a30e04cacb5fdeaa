// What a tool call is and how it ends, shared by the tools, the worker and the agent.
import * as v from 'valibot';

/**
 * What running a call twice would do. `read_only`: nothing, so it may be run again freely and beside others.
 * `idempotent`: the same as once (the tool uses KUBIYA_CALL_ID). `side_effecting`: unknown, so it is never run again.
 */
export const toolEffectSchema = v.picklist(['read_only', 'idempotent', 'side_effecting']);
export type ToolEffect = v.InferOutput<typeof toolEffectSchema>;

/**
 * How a call ended. `success` and `failed` are the tool's own verdict; `cancelled` was stopped by the user or a limit of
 * the execution; `interrupted` means that the worker vanished while it ran, so its outcome is unknown.
 */
export const toolStatusSchema = v.picklist(['success', 'failed', 'cancelled', 'interrupted']);
export type ToolStatus = v.InferOutput<typeof toolStatusSchema>;

export const toolResultSchema = v.object({
  status: toolStatusSchema,
  /** What the model reads; bounded by the tool (`toolOutputBytesMax`), valid UTF-8, without NUL. */
  output: v.string(),
  /** One sentence for people when status is not `success`. */
  error: v.optional(v.string()),
  /** Bytes the tool produced before its output was cut; absent when nothing was cut. */
  originalBytes: v.optional(v.number()),
  durationMs: v.number(),
});
export type ToolResult = v.InferOutput<typeof toolResultSchema>;

/** A skill as the control plane resolves it for an agent: a type and its configuration. */
export const resolvedSkillSchema = v.object({
  id: v.string(),
  name: v.string(),
  type: v.string(),
  description: v.nullish(v.string()),
  enabled: v.optional(v.boolean(), true),
  configuration: v.optional(v.record(v.string(), v.unknown()), {}),
});
export type ResolvedSkill = v.InferOutput<typeof resolvedSkillSchema>;
