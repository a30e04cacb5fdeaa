// What the control plane and Temporal exchange: workflow names, ids, inputs, signals, the query and results.
import * as v from 'valibot';

export const agentWorkflowType = 'AgentExecutionWorkflow';
export const agentWorkflowId = (executionId: string): string => `agent-execution-${executionId}`;

export const teamWorkflowType = 'TeamExecutionWorkflow';
export const teamWorkflowId = (executionId: string): string => `team-execution-${executionId}`;
/** A member's part is a child workflow with an execution id of its own; the control plane knows only the team's. */
export const memberExecutionId = (executionId: string, number: number): string => `${executionId}/member/${number}`;
/** The execution that the control plane knows: the team's for a member's part, else the same. Ids hold no slash. */
export const ownerExecutionId = (executionId: string): string => executionId.split('/', 1)[0] ?? executionId;
export const scheduledJobWorkflowType = 'ScheduledJobWrapperWorkflow';
export const dynamicWorkflowType = 'DynamicAgentExecutionWorkflow';

/** Task queue of one worker alone: tool calls of the executions that it holds. Made of its journal, so that it outlives a restart. */
export const workerTaskQueue = (taskQueue: string, journalId: string): string => `${taskQueue}:${journalId}`;

/** Under this name a worker takes tasks from Temporal. */
export const workerIdentity = (workerId: string): string => `kubiya-${workerId}`;

export const signalNames = {
  addMessage: 'add_message',
  markAsDone: 'mark_as_done',
  pause: 'pause_execution',
  resume: 'resume_execution',
  approvalResponse: 'approval_response',
} as const;
export const getStateQueryName = 'get_state';

/** What a leader hands to the execution of one of its members. */
const memberPartSchema = v.object({
  name: v.string(),
  /** What it may spend of the team's limits. */
  slice: v.object({
    turnsMax: v.number(),
    totalTokensMax: v.number(),
    costUsdMax: v.number(),
    wallTimeMsMax: v.number(),
  }),
  /** The leader's, for a member that has no model of its own. */
  default_model: v.nullish(v.string()),
  /** The leader's message that delegated the task. */
  parent_message_id: v.string(),
  working_directory: v.nullish(v.string()),
  /** The worker that holds the team's workspace. */
  lease: v.nullish(v.object({ taskQueue: v.string(), journalId: v.string() })),
});

export type MemberPart = v.InferOutput<typeof memberPartSchema>;

/** Input of AgentExecutionWorkflow. Unknown keys are ignored: the cloud's control plane sends more than we read. */
export const agentExecutionInputSchema = v.object({
  execution_id: v.pipe(v.string(), v.minLength(1)),
  agent_id: v.string(),
  organization_id: v.optional(v.string(), ''),
  prompt: v.string(),
  system_prompt: v.nullish(v.string()),
  model_id: v.nullish(v.string()),
  model_config: v.nullish(v.record(v.string(), v.unknown())),
  agent_config: v.nullish(v.record(v.string(), v.unknown())),
  mcp_servers: v.nullish(v.record(v.string(), v.unknown())),
  user_metadata: v.nullish(v.record(v.string(), v.unknown())),
  runtime_type: v.nullish(v.string()),
  initial_message_timestamp: v.nullish(v.string()),
  /** Ours: true for a chat, which waits for the next message after an answer; `exec` completes with its answer. */
  is_conversation: v.nullish(v.boolean()),
  parent_execution_id: v.nullish(v.string()),
  /** Ours: JSON Schema of the last answer (`--output-schema`). */
  output_schema: v.nullish(v.record(v.string(), v.unknown())),
  /** Ours: limits of this execution (`--max-cost` and others), over those of the agent's configuration. */
  limits: v.nullish(v.record(v.string(), v.number())),
  /** Ours: executions above this one. */
  depth: v.nullish(v.number()),
  /** Ours: it is a member's part of a team's execution. */
  member: v.nullish(memberPartSchema),
});
export type AgentExecutionInput = v.InferOutput<typeof agentExecutionInputSchema>;

/** Input of TeamExecutionWorkflow; unknown keys are ignored. */
export const teamExecutionInputSchema = v.object({
  ...v.omit(agentExecutionInputSchema, ['agent_id', 'agent_config', 'member']).entries,
  team_id: v.pipe(v.string(), v.minLength(1)),
  team_config: v.nullish(v.record(v.string(), v.unknown())),
});
export type TeamExecutionInput = v.InferOutput<typeof teamExecutionInputSchema>;

/** Input of DynamicAgentExecutionWorkflow: the agent is in the input itself and nowhere else. Unknown keys are ignored. */
export const dynamicExecutionInputSchema = v.object({
  ...v.omit(agentExecutionInputSchema, ['agent_id', 'member']).entries,
  entity_id: v.pipe(v.string(), v.minLength(1)),
  entity_type: v.nullish(v.string()),
  /** Ours: what events and traces call the agent. */
  entity_name: v.nullish(v.string()),
  skill_ids: v.nullish(v.array(v.string())),
});
export type DynamicExecutionInput = v.InferOutput<typeof dynamicExecutionInputSchema>;

export type ExecutionInput = AgentExecutionInput | TeamExecutionInput | DynamicExecutionInput;

/** The workflow that runs an input, and its id. */
export function workflowOf(input: ExecutionInput): { readonly type: string; readonly id: string } {
  if ('team_id' in input) return { type: teamWorkflowType, id: teamWorkflowId(input.execution_id) };
  const type = 'entity_id' in input ? dynamicWorkflowType : agentWorkflowType;
  return { type, id: agentWorkflowId(input.execution_id) };
}

/**
 * Input of ScheduledJobWrapperWorkflow, kept in a Temporal schedule; unknown keys are ignored. Our server sends ids, prompt and
 * `user_metadata` {job_id, job_name, trigger_type}: agent, skills and variables are asked for when the run begins.
 */
export const scheduledJobInputSchema = v.object({
  ...v.omit(agentExecutionInputSchema, ['execution_id', 'agent_id', 'member']).entries,
  /** Absent: each run makes its own. */
  execution_id: v.nullish(v.string()),
  /** One of the two. */
  agent_id: v.nullish(v.string()),
  team_id: v.nullish(v.string()),
  team_config: v.nullish(v.record(v.string(), v.unknown())),
});
export type ScheduledJobInput = v.InferOutput<typeof scheduledJobInputSchema>;

/** Payload of the signal add_message. */
export const chatMessageSchema = v.object({
  role: v.optional(v.string(), 'user'),
  content: v.string(),
  timestamp: v.nullish(v.string()),
  message_id: v.nullish(v.string()),
  /** Ours: binds a signed signal to its execution. */
  execution_id: v.nullish(v.string()),
});
export type ChatMessage = v.InferOutput<typeof chatMessageSchema>;

/** Payload of the signal approval_response: an approval that the workflow waits for has been settled. */
export const approvalResponseSchema = v.object({
  execution_id: v.string(),
  approval_id: v.string(),
  status: v.picklist(['approved', 'rejected', 'expired']),
  /** Who settled it, as people know them. */
  resolved_by: v.nullish(v.string()),
  reason: v.nullish(v.string()),
});
export type ApprovalResponse = v.InferOutput<typeof approvalResponseSchema>;

/** Payload of the other signals; the cloud's control plane sends none. */
export const controlSignalSchema = v.nullish(
  v.object({ execution_id: v.string(), request_id: v.optional(v.string()) }),
);

export const executionStatuses = [
  'pending',
  'running',
  'waiting_for_input',
  'queued',
  'paused',
  'completed',
  'failed',
  'cancelled',
  'interrupted',
  'terminated',
] as const;
export type ExecutionStatus = (typeof executionStatuses)[number];
export const terminalStatuses: ReadonlySet<string> = new Set([
  'completed',
  'failed',
  'cancelled',
  'interrupted',
  'terminated',
]);

export interface AgentExecutionResult {
  success: boolean;
  execution_id: string;
  status: ExecutionStatus;
  response: string;
  error?: string;
  usage: Record<string, number>;
  conversation_turns: number;
  /** US dollars of model calls, where they are known. */
  cost_usd?: number;
}

export { isRefused } from '../lib/payload-refusal.ts';

/** Type of an ApplicationFailure that ends the execution with its message; its details are the failure type and a hint. */
export const fatalFailureType = 'kubiya.fatal';
/** Type of an ApplicationFailure that Temporal's retry policy may repeat. */
export const passingFailureType = 'kubiya.passing';
