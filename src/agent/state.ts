// The state of one execution as the workflow carries it: everything the agent knows, nothing that needs I/O or a clock.
import type { McpTool } from '../protocol/mcp.ts';
import type { ModelFailure, ModelMessage, Usage } from '../protocol/model.ts';
import type { CallPlan, ResolvedSkill, ToolEffect } from '../protocol/tool.ts';

/** Limits of one execution, fixed by the first activity so that a later release changes no running execution. */
export interface AgentLimits {
  readonly turnsMax: number;
  readonly totalTokensMax: number;
  readonly wallTimeMsMax: number;
  /** US dollars of model calls; executions that older workers prepared do not have it. */
  readonly costUsdMax: number;
  readonly toolTimeMsMax: number;
  readonly toolOutputBytesMax: number;
  /** JSON size of the transcript above which old tool outputs are cut. */
  readonly transcriptBytesMax: number;
  /** Tokens of a model call above which the transcript is cut: 60 % of the model's window. With it old turns are summed up by the model. */
  readonly contextTokensMax?: number;
  /** Inputs of tool calls that start at once, as JSON; executions that older workers prepared have no such bound. */
  readonly taskCharactersMax?: number;
  /** A timer ends the execution at its wall time, also while it waits; executions that older workers prepared have none. */
  readonly isWallTimed?: true;
}

/** The limits that end an execution, as events and records name them. */
export type LimitName = 'turns' | 'tokens' | 'cost' | 'wall_time';

/** How often a call reports that it lives and when its silence means that the worker is gone. */
export interface CallTiming {
  readonly heartbeatTimeoutMs: number;
  readonly startToCloseMs: number;
  readonly workflowTaskTimeoutMs: number;
  /** A tool call that nobody has taken after so long makes the workflow ask whether the lease's holder lives. */
  readonly leaseLookMs?: number;
  /** How often the workflow looks for what it waits for; absent in executions that older workers prepared. */
  readonly polls?: { readonly approval: PollTiming; readonly execution: PollTiming };
}

/** The pause doubles from the first to the longest. */
export interface PollTiming {
  readonly firstMs: number;
  readonly mostMs: number;
}

/** An execution's tie to the worker that holds its workspace. */
export interface Lease {
  /** Task queue of that worker alone; its tool calls go there. Stays the same when the worker is started again on its directory. */
  readonly taskQueue: string;
  /** Journal of that worker, which names it in the control plane's list. */
  readonly journalId: string;
}

/** A member of a team as its leader knows it. */
export interface TeamMember {
  readonly id: string;
  readonly name: string;
  readonly description: string;
}

/** Of an execution that is a member's part of a team's: its events and files belong to the team's execution. */
export interface Membership {
  readonly teamExecutionId: string;
  readonly memberName: string;
  /** The leader's message that delegated the task. */
  readonly parentMessageId: string;
}

/** US dollars per million tokens. */
export interface ModelPrice {
  readonly input: number;
  readonly output: number;
  readonly cacheRead?: number;
  readonly cacheWrite?: number;
  /** The model's price is not known: this is the dearest known one. */
  readonly isEstimated?: boolean;
}

/** Whose configuration an execution runs with; `dynamic` has brought its own. */
export type EntityKind = 'agent' | 'team' | 'dynamic';

/** What the first activity resolved: the agent as it is for the whole execution. Holds no secret: it is in the history. */
export interface PreparedAgent {
  readonly agentId: string;
  /** Absent: an agent. */
  readonly entityKind?: EntityKind;
  readonly agentName: string;
  /** `updated_at` of the agent when the execution began. */
  readonly agentVersion: string;
  readonly systemPrompt: string;
  readonly model: string;
  readonly modelOptions: {
    readonly temperature?: number;
    readonly maxOutputTokens?: number;
    readonly topP?: number;
    readonly stop?: readonly string[];
  };
  readonly skills: readonly ResolvedSkill[];
  /** Absolute path the tools work in; undefined = the execution's own workspace directory. */
  readonly workingDirectory?: string;
  readonly limits: AgentLimits;
  readonly timing: CallTiming;
  /** Absent in executions that older workers began, whose calls go to the shared queue. */
  readonly lease?: Lease;
  readonly members?: readonly TeamMember[];
  readonly membership?: Membership;
  /** MCP servers that the workflow's input named; those of the environment are resolved again by each worker. */
  readonly mcpServers?: Readonly<Record<string, unknown>>;
  /** Tools of MCP servers, which every worker offers alike; where the servers are, each resolves again. */
  readonly mcpTools?: readonly McpTool[];
  /** Instructions in folders of the worker (`--skill-dir`), which the model reads on demand. */
  readonly skillInstructions?: readonly {
    readonly name: string;
    readonly description: string;
    readonly path: string;
  }[];
  /** The agent's turns are runs of the `claude` program. */
  readonly claudeCode?: { readonly permissionMode: string; readonly turnTimeMsMax: number };
  /** JSON Schema that the last answer has to match. */
  readonly outputSchema?: Readonly<Record<string, unknown>>;
  readonly price?: ModelPrice;
  /** Executions above this one: 0 for one that a person or a schedule started. */
  readonly depth?: number;
  /** W3C trace context of whoever asked for the execution. */
  readonly traceparent?: string;
}

export interface QueuedMessage {
  readonly messageId: string;
  readonly content: string;
}

/** A tool call of the current turn. `result` present = settled and already in the transcript order's place. */
export interface PendingCall {
  readonly callId: string;
  /** The id the model gave the call; tool results refer to it. */
  readonly toolCallId: string;
  readonly name: string;
  readonly arguments: string;
  readonly effect: ToolEffect;
  /** Present: the workflow carries the call out. */
  readonly plan?: CallPlan;
  readonly result?: { readonly content: string; readonly isError: boolean };
}

export type FailureType =
  | 'agent'
  | 'authentication'
  | 'configuration'
  | 'network'
  | 'limit'
  | 'timeout'
  | 'model'
  | 'disk_full'
  | 'denied'; // somebody said no, or nobody answered in time

export type Outcome =
  | { readonly status: 'completed'; readonly response: string }
  | {
      readonly status: 'failed';
      readonly response: string;
      readonly error: string;
      readonly errorType: FailureType;
      /** What to do about it, naming a command. */
      readonly hint?: string;
      /** Which limit ended it, with errorType `limit` or `timeout`. */
      readonly limit?: LimitName;
    }
  | { readonly status: 'cancelled'; readonly response: string };

export interface AgentState {
  readonly executionId: string;
  readonly isConversation: boolean;
  /** Nobody said whether this is a chat: the control plane is asked after each answer. */
  readonly isEndUndecided?: boolean;
  /** What the control plane said about the last answer. */
  readonly decision?: 'wait' | 'finish';
  readonly startedAtMs: number;
  readonly transcript: readonly ModelMessage[];
  /** Number of model calls begun; the current turn's number while one is open. */
  readonly turn: number;
  readonly pendingCalls: readonly PendingCall[];
  readonly inbox: readonly QueuedMessage[];
  /** Ids of messages taken so far, the newest `seenMessageIdsMax`: signals may be delivered twice. */
  readonly seenMessageIds: readonly string[];
  /** People's messages that were taken or had no room, without the prompt. Absent in states of older workers. */
  readonly messagesSeen?: number;
  readonly isPaused: boolean;
  readonly isDoneRequested: boolean;
  readonly usage: Usage;
  /** US dollars spent on model calls so far. */
  readonly costUsd?: number;
  /** Turns that members of the team have used; their tokens and costs are in `usage` and `costUsd`. */
  readonly memberTurns?: number;
  /** Members' parts begun so far, which are numbered. */
  readonly membersStarted?: number;
  /** How many times the transcript was cut for the model's window since the last answer. */
  readonly compactionLevel: number;
  /** Tokens of the last model call with its answer; absent after the transcript was cut. */
  readonly contextTokens?: number;
  /** The turn before which a summary was made or tried. */
  readonly summaryTurn?: number;
  /** Why the last answer does not match the output schema. */
  readonly answerProblem?: string;
  /** The model was told about the problem of its last answer. */
  readonly isRepairing?: boolean;
  /** The last approval was refused, in one sentence. */
  readonly denial?: string;
  /** Set once the agent has nothing left to do. */
  readonly outcome?: Outcome;
}

/** What the agent does next. */
export type Step =
  | { readonly type: 'model' } // ask the model; call beginTurn first
  | { readonly type: 'tools'; readonly calls: readonly PendingCall[] } // run these now, side by side
  | { readonly type: 'summarize'; readonly keptFrom: number } // let the model sum up the messages before this index
  | { readonly type: 'decide' } // ask the control plane whether the answer was the last
  | { readonly type: 'wait'; readonly reason: 'paused' | 'input' } // until a signal changes the state
  | { readonly type: 'finish'; readonly outcome: Outcome };

/** What a model call brought back. */
export type ModelFact =
  | {
      readonly type: 'answer';
      readonly message: Extract<ModelMessage, { role: 'assistant' }>;
      readonly effects: readonly ToolEffect[];
      /** By the index of the call; null for one that is an activity. Absent: none has a plan. */
      readonly plans?: readonly (CallPlan | null)[];
      readonly costUsd?: number;
      /** Of an answer without calls when there is an output schema: its JSON, or why it does not match. */
      readonly structured?: { readonly json: string } | { readonly problem: string };
      readonly usage: Usage;
      readonly isFiltered: boolean;
      readonly verdict?: 'succeeded' | 'failed';
    }
  | { readonly type: 'failure'; readonly failure: ModelFailure };
