// The events of an execution as they cross the wire: worker → control plane → command line and web pages.
import * as v from 'valibot';

export const eventTypes = [
  'run_started',
  'message',
  'message_chunk',
  'thinking_start',
  'thinking_delta',
  'thinking_complete',
  'tool_started',
  'tool_output',
  'tool_completed',
  'retry',
  'member_message_chunk',
  'member_message_complete',
  'member_thinking_start',
  'member_thinking_delta',
  'member_thinking_complete',
  'member_tool_started',
  'member_tool_completed',
  'approval_requested',
  'approval_resolved',
  'status',
  'metadata',
  'notice',
  'error',
  'done',
] as const;
export type EventType = (typeof eventTypes)[number];

/**
 * One event. `event_id` is unique within its execution and the same on every attempt that reports the same fact, so that a
 * listener and the server drop repetitions: `<call id>:<kind>:<n>`. `timestamp` is RFC 3339 with zone.
 */
export const agentEventSchema = v.object({
  event_id: v.pipe(v.string(), v.minLength(1), v.maxLength(200)),
  event_type: v.pipe(v.string(), v.minLength(1), v.maxLength(64)),
  data: v.record(v.string(), v.unknown()),
  timestamp: v.string(),
});
export type WireEvent = v.InferOutput<typeof agentEventSchema>;

/** The payloads of `data`, by type. Fields marked optional may be absent from other producers. */
export interface EventData {
  run_started: { run_id: string; agent_id: string; cancellable: boolean };
  message: { role: 'user' | 'assistant' | 'system'; content: string; message_id: string };
  message_chunk: { role: 'assistant'; content: string; is_chunk: true; message_id: string };
  thinking_start: { message_id: string; index: number };
  thinking_delta: { message_id: string; index: number; thinking: string };
  thinking_complete: { message_id: string; index: number };
  tool_started: {
    tool_name: string;
    tool_execution_id: string;
    tool_arguments: Record<string, unknown>;
    message_id: string;
  };
  /** Output while a tool runs; superseded by tool_completed. */
  tool_output: { tool_execution_id: string; content: string };
  tool_completed: {
    tool_name: string;
    tool_execution_id: string;
    message_id: string;
    /** `success` or `failed`; `interrupted` and `cancelled` calls are `failed` with the reason in `outcome`. */
    status: 'success' | 'failed';
    outcome: 'success' | 'failed' | 'cancelled' | 'interrupted';
    tool_output: string;
    tool_error?: string;
    duration_ms: number;
    truncated?: boolean;
  };
  /** Listeners drop what they have of this message: the model call starts again. */
  retry: { message_id: string; attempt: number; reason: string; delay_ms: number };
  member_message_chunk: EventData['message_chunk'] & MemberOf;
  member_message_complete: { message_id: string; content: string } & MemberOf;
  member_thinking_start: EventData['thinking_start'] & MemberOf;
  member_thinking_delta: EventData['thinking_delta'] & MemberOf;
  member_thinking_complete: EventData['thinking_complete'] & MemberOf;
  member_tool_started: EventData['tool_started'] & MemberOf;
  member_tool_completed: EventData['tool_completed'] & MemberOf;
  approval_requested: {
    approval_id: string;
    tool_execution_id: string;
    title: string;
    message?: string;
    expires_at: string;
  };
  approval_resolved: {
    approval_id: string;
    tool_execution_id: string;
    status: 'approved' | 'rejected' | 'expired';
    resolved_by?: string;
    reason?: string;
  };
  status: { status: string; reason?: string };
  metadata: Record<string, unknown>;
  notice: { code: string; message: string };
  error: { error: string; error_type: string; retryable: boolean; hint?: string };
  done: {
    execution_id: string;
    status: string;
    response: string;
    error?: string;
    usage: Record<string, number>;
    duration_ms: number;
    cost_usd?: number;
  };
}

/** Whose event it is, of a team's members. */
type MemberOf = { member_name: string; parent_message_id: string };

/** An event of a known type, ready to publish. */
export type AgentEvent = {
  [K in keyof EventData]: { event_id: string; event_type: K; data: EventData[K]; timestamp: string };
}[keyof EventData];

/** The shape the command line prints with `--stream-format json`, one object per line. */
export interface StreamLine {
  type:
    | 'connected'
    | 'status'
    | 'message'
    | 'message_chunk'
    | 'thinking'
    | 'tool_started'
    | 'tool_output'
    | 'tool_completed'
    | 'retry'
    | 'member_message_chunk'
    | 'member_message'
    | 'member_thinking'
    | 'member_tool_started'
    | 'member_tool_completed'
    | 'approval_requested'
    | 'approval_resolved'
    | 'progress'
    | 'plan'
    | 'notice'
    | 'error'
    | 'done';
  timestamp: string;
  /** Absent while a plan is made. */
  execution_id?: string;
  [key: string]: unknown;
}
