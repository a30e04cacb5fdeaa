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
import type { ApprovalStatus } from '../../protocol/approvals.ts';
import type { ModelMessage } from '../../protocol/model.ts';
import type { CallPlan, ToolResult } from '../../protocol/tool.ts';
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
  /** Sums the messages up instead of answering the last one; nobody watches it. */
  readonly purpose?: 'summary';
}

export interface CallToolInput {
  readonly executionId: string;
  readonly turn: number;
  readonly prepared: PreparedAgent;
  readonly call: Pick<PendingCall, 'callId' | 'toolCallId' | 'name' | 'arguments' | 'effect'>;
  /** A worker that has vanished may have begun it, so one with a side effect is not begun here. */
  readonly mayHaveStarted?: boolean;
  /** A worker that gets it so long after it was scheduled does not begin it: the lease may have moved by then. */
  readonly staleAfterMs?: number;
}

export interface LookAtLeaseInput {
  readonly executionId: string;
  /** The call that nobody took. */
  readonly callId: string;
  readonly lease: Lease;
}

export interface ToolFact {
  readonly callId: string;
  readonly content: string;
  readonly isError: boolean;
  /** Of a whole turn of another runtime; absent when it was interrupted. */
  readonly answer?: ModelFact;
}

/** A call that the workflow carries out, as its activities know it. */
export interface PlannedCallInput {
  readonly executionId: string;
  readonly turn: number;
  readonly agent: Pick<PreparedAgent, 'agentName' | 'traceparent' | 'membership' | 'depth'>;
  readonly call: Pick<PendingCall, 'callId' | 'name' | 'arguments'>;
}
export type PlanOf<Type extends CallPlan['type']> = Extract<CallPlan, { type: Type }>;

/** What became of a question to the control plane that it may refuse for good. */
export type Asked<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly problem: string };

export interface ApprovalView {
  readonly approvalId: string;
  readonly status: ApprovalStatus;
  readonly resolvedBy?: string;
  readonly reason?: string;
}

/** An execution elsewhere, as one that waits for it sees it. */
export interface ExecutionLook {
  readonly status: string;
  /** It waits for a message, or has ended. */
  readonly isAtRest: boolean;
  readonly answer: string;
  readonly error?: string;
  /** Messages of its conversation so far. */
  readonly messageCount: number;
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
  readonly costUsd?: number;
  readonly isCostEstimated?: boolean;
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

/** What the first step brings: the agent, and what was said in the execution that this one goes on from. */
export interface Prepared extends PreparedAgent {
  /** Nobody said whether this is a chat: the control plane is asked after each answer. */
  readonly isEndUndecided?: true;
  readonly history?: readonly ModelMessage[];
}

/** The activities of an agent execution. Those that fail throw a Temporal ApplicationFailure; the rest are values. */
export interface AgentActivities {
  /** Local activity: resolves agent or team, skills, model and limits. Short, repeatable. */
  prepare(input: ExecutionInput): Promise<Prepared>;
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

  // Local activities, one short request each; what the control plane refuses for good is a value.

  /** Says that a planned call has started, or with a result that it has ended and how. */
  announce(input: PlannedCallInput & { readonly result?: ToolResult; readonly approval?: ApprovalView }): Promise<void>;
  /** Asks for an approval, once for each call id, and says so. */
  openApproval(input: PlannedCallInput & { readonly plan: PlanOf<'approval'> }): Promise<Asked<ApprovalView>>;
  readApproval(input: { readonly approvalId: string }): Promise<ApprovalView>;
  /** Starts an execution, once for each call id, and brings its id. */
  startExecution(input: PlannedCallInput & { readonly plan: PlanOf<'execution'> }): Promise<Asked<string>>;
  /** `isCounted`: also the messages of an execution that is not at rest. */
  lookAtExecution(input: { readonly executionId: string; readonly isCounted: boolean }): Promise<Asked<ExecutionLook>>;
  /** Sends a message, once for each call id. */
  sendFollowUp(input: PlannedCallInput & { readonly plan: PlanOf<'follow_up'> }): Promise<Asked<null>>;
  /** Cancels an execution that this one has started; one that has ended is left alone. */
  cancelExecution(input: { readonly executionId: string }): Promise<void>;
  /** Whether the control plane takes the last answer for the end. */
  decideEnd(input: { readonly executionId: string }): Promise<'wait' | 'finish'>;
}
