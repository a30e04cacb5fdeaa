// The state of one execution as the workflow carries it: everything the agent knows, nothing that needs I/O or a clock.
import type { ModelFailure, ModelMessage, Usage } from '../protocol/model.ts';
import type { ResolvedSkill, ToolEffect } from '../protocol/tool.ts';

/** Limits of one execution, fixed by the first activity so that a later release changes no running execution. */
export interface AgentLimits {
  readonly turnsMax: number;
  readonly totalTokensMax: number;
  readonly wallTimeMsMax: number;
  readonly toolTimeMsMax: number;
  readonly toolOutputBytesMax: number;
  /** JSON size of the transcript above which old tool outputs are cut. */
  readonly transcriptBytesMax: number;
}

/** How often a call reports that it lives and when its silence means that the worker is gone. */
export interface CallTiming {
  readonly heartbeatTimeoutMs: number;
  readonly startToCloseMs: number;
  readonly workflowTaskTimeoutMs: number;
}

/** What the first activity resolved: the agent as it is for the whole execution. Holds no secret: it is in the history. */
export interface PreparedAgent {
  readonly agentId: string;
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
  | 'disk_full';

export type Outcome =
  | { readonly status: 'completed'; readonly response: string }
  | {
      readonly status: 'failed';
      readonly response: string;
      readonly error: string;
      readonly errorType: FailureType;
      /** What to do about it, naming a command. */
      readonly hint?: string;
    }
  | { readonly status: 'cancelled'; readonly response: string };

export interface AgentState {
  readonly executionId: string;
  readonly isConversation: boolean;
  readonly startedAtMs: number;
  readonly transcript: readonly ModelMessage[];
  /** Number of model calls begun; the current turn's number while one is open. */
  readonly turn: number;
  readonly pendingCalls: readonly PendingCall[];
  readonly inbox: readonly QueuedMessage[];
  /** Ids of messages taken so far, the newest `seenMessageIdsMax`: signals may be delivered twice. */
  readonly seenMessageIds: readonly string[];
  readonly isPaused: boolean;
  readonly isDoneRequested: boolean;
  readonly usage: Usage;
  /** How many times the transcript was cut for the model's window since the last answer. */
  readonly compactionLevel: number;
  /** Set once the agent has nothing left to do. */
  readonly outcome?: Outcome;
}

/** What the agent does next. */
export type Step =
  | { readonly type: 'model' } // ask the model; call beginTurn first
  | { readonly type: 'tools'; readonly calls: readonly PendingCall[] } // run these now, side by side
  | { readonly type: 'wait'; readonly reason: 'paused' | 'input' } // until a signal changes the state
  | { readonly type: 'finish'; readonly outcome: Outcome };

/** What a model call brought back. */
export type ModelFact =
  | {
      readonly type: 'answer';
      readonly message: Extract<ModelMessage, { role: 'assistant' }>;
      readonly effects: readonly ToolEffect[];
      readonly usage: Usage;
      readonly isFiltered: boolean;
      readonly verdict?: 'succeeded' | 'failed';
    }
  | { readonly type: 'failure'; readonly failure: ModelFailure };
