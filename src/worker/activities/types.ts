// What the workflow asks of the activities and what they bring back; everything here is stored in Temporal's history.
import type {
  AgentState,
  Lease,
  Membership,
  ModelFact,
  Outcome,
  PendingCall,
  PreparedAgent,
} from '../../agent/state.ts';
import type { ModelMessage } from '../../protocol/model.ts';
import type {
  AgentExecutionInput,
  ExecutionInput,
  ExecutionStatus,
  TeamExecutionInput,
} from '../../protocol/workflow.ts';

export interface CallModelInput {
  readonly executionId: string;
  readonly callId: string;
  readonly turn: number;
  readonly prepared: PreparedAgent;
  readonly messages: readonly ModelMessage[];
}

export interface CallToolInput {
  readonly executionId: string;
  readonly turn: number;
  readonly prepared: PreparedAgent;
  readonly call: Pick<PendingCall, 'callId' | 'toolCallId' | 'name' | 'arguments' | 'effect'>;
  /** A worker that has vanished may have begun it, so one with a side effect is not begun here. */
  readonly mayHaveStarted?: boolean;
}

export interface LookAtLeaseInput {
  readonly executionId: string;
  /** The call that nobody took. */
  readonly callId: string;
  readonly lease: Lease;
  readonly membership?: Membership;
}

export interface ToolFact {
  readonly callId: string;
  readonly content: string;
  readonly isError: boolean;
}

/** A change of the execution's state that the control plane should know. */
export interface ReportInput {
  readonly executionId: string;
  /** Makes the report's events the same on every attempt: `<run>:<n>`. */
  readonly reportId: string;
  readonly status: 'waiting_for_input' | 'running' | 'paused' | Outcome['status'];
  readonly agentId: string;
  /** Set for a member of a team: its status is the team's to tell, only its own things here are released. */
  readonly membership?: Membership;
  /** Absent when the execution ended before it was prepared. */
  readonly agent?: Pick<PreparedAgent, 'agentName' | 'traceparent'>;
  readonly turn: number;
  readonly usage: AgentState['usage'];
  readonly outcome?: Outcome;
  readonly startedAtMs: number;
  /** At the end: people's messages that the agent has seen, without the prompt. */
  readonly messagesTaken?: number;
  /** Present at an answer and at the end: the conversation as it stands. */
  readonly transcript?: readonly ModelMessage[];
}

/** The execution that a scheduled run is about to start. */
export interface CreateJobExecutionInput {
  readonly execution: AgentExecutionInput | TeamExecutionInput;
  readonly jobId?: string;
  /** Why it runs, and `workflow_id` of the run that starts it. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** How a scheduled run ended. */
export interface ReportJobInput {
  readonly executionId: string;
  /** Absent: nobody counts it. */
  readonly jobId?: string;
  readonly status: ExecutionStatus;
  readonly durationMs: number;
  readonly error?: string;
}

/** The activities of an agent execution. Those that fail throw a Temporal ApplicationFailure; the rest are values. */
export interface AgentActivities {
  /** Local activity: resolves agent or team, skills, model and limits. Short, repeatable. */
  prepare(input: ExecutionInput): Promise<PreparedAgent>;
  /** One model call. Throws a retryable failure for a provider's passing trouble, with its Retry-After as the next delay. */
  callModel(input: CallModelInput): Promise<ModelFact>;
  /** One tool call, at most once for each call id (see worker/calls.ts). */
  callTool(input: CallToolInput): Promise<ToolFact>;
  /** Local activity: the lease as it was while its holder lives, else this worker's own. */
  lookAtLease(input: LookAtLeaseInput): Promise<Lease>;
  /** Local activity: hands a change of state to the publisher; at the end waits a bounded time until it has arrived. */
  report(input: ReportInput): Promise<void>;
  /** Local activity: makes the row of a scheduled run's execution; the same id again changes nothing. */
  createJobExecution(input: CreateJobExecutionInput): Promise<void>;
  /** Local activity: the end of a scheduled run, for the history of its job. */
  reportJob(input: ReportJobInput): Promise<void>;
}
