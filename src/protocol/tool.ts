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
  /** It was stopped at its time limit. */
  isOutOfTime: v.optional(v.boolean()),
  durationMs: v.number(),
});
export type ToolResult = v.InferOutput<typeof toolResultSchema>;

/** In the environment of every process that a tool starts: the call that it serves. */
export const callMarkerName = 'KUBIYA_CALL_ID';

/** A skill as the control plane resolves it for an agent: a type and its configuration. */
export const resolvedSkillSchema = v.object({
  id: v.string(),
  name: v.string(),
  type: v.string(),
  description: v.nullish(v.string()),
  /** Preset of its keys, unless the configuration names one. */
  variant: v.nullish(v.string()),
  enabled: v.optional(v.boolean(), true),
  configuration: v.optional(v.record(v.string(), v.unknown()), {}),
});
export type ResolvedSkill = v.InferOutput<typeof resolvedSkillSchema>;

/** The built-in tool that asks a person: the loop holds what follows it. */
export const approvalToolName = 'wait_for_approval';

/**
 * A call that the workflow itself carries out, with timers, signals and child workflows, so that waiting holds no slot of a
 * worker. The tool makes the plan from the model's arguments; a call without one is an activity.
 */
export const callPlanSchema = v.variant('type', [
  v.object({ type: v.literal('sleep'), durationMs: v.number() }),
  v.object({
    type: v.literal('approval'),
    title: v.string(),
    message: v.optional(v.string()),
    approverEmails: v.array(v.string()),
    approverGroupId: v.optional(v.string()),
    /** After so long without an answer the call fails as expired. */
    expiresAfterMs: v.number(),
    context: v.record(v.string(), v.unknown()),
  }),
  /** Starts an execution of another agent or team through the control plane, and waits for its end if told to. */
  v.object({
    type: v.literal('execution'),
    entityType: v.picklist(['agent', 'team']),
    entityId: v.string(),
    prompt: v.string(),
    isAwaited: v.boolean(),
    timeoutMs: v.number(),
    /** Depth of this execution below the first one, for the limit of agent_communication. */
    depthMax: v.optional(v.number()),
  }),
  /** Sends a message to an execution that was started before, and waits for its next answer if told to. */
  v.object({
    type: v.literal('follow_up'),
    executionId: v.string(),
    message: v.string(),
    isAwaited: v.boolean(),
    timeoutMs: v.number(),
    /** Refused unless the execution is of one of these agents or teams (id or name); absent: of any. */
    allowedEntities: v.optional(v.array(v.string())),
  }),
  /** A leader of a team hands a task to its members, each of which does it as a whole. */
  v.object({ type: v.literal('member'), memberIds: v.array(v.string()), task: v.string() }),
]);
export type CallPlan = v.InferOutput<typeof callPlanSchema>;
