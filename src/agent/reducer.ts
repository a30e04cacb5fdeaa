// The durable agent's loop as a reducer: nextStep says what to do, apply* fold what happened into the state.
import type { ModelFailureKind, ModelMessage, Usage } from '../protocol/model.ts';
import { compact, compactionLevelsMax, transcriptBytes } from './compaction.ts';
import type {
  AgentLimits,
  AgentState,
  FailureType,
  ModelFact,
  Outcome,
  PendingCall,
  QueuedMessage,
  Step,
} from './state.ts';

/** Signals are delivered again within minutes, not days; 500 ids of 36 characters stay under 20 kB of carried state. */
const seenMessageIdsMax = 500;

/** More queued messages than a person writes while a tool runs; beyond it the oldest win, so that no flood fills the history. */
const inboxMessagesMax = 200;
/** Two of the largest messages that the server takes: with a full transcript still far from Temporal's 2 MB for an input. */
const inboxCharactersMax = 400_000;

export interface FirstMessage {
  readonly executionId: string;
  readonly prompt: string;
  readonly messageId: string;
  readonly isConversation: boolean;
  readonly startedAtMs: number;
}

export function initialState(first: FirstMessage): AgentState {
  return {
    executionId: first.executionId,
    isConversation: first.isConversation,
    startedAtMs: first.startedAtMs,
    transcript: [],
    turn: 0,
    pendingCalls: [],
    inbox: [{ messageId: first.messageId, content: first.prompt }],
    seenMessageIds: [first.messageId],
    isPaused: false,
    isDoneRequested: false,
    usage: { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 },
    compactionLevel: 0,
  };
}

/** What to do now. `nowMs` is the workflow's deterministic time. */
export function nextStep(state: AgentState, limits: AgentLimits, nowMs: number): Step {
  if (state.outcome !== undefined) return { type: 'finish', outcome: state.outcome };
  const open = state.pendingCalls.filter((call) => call.result === undefined);
  if (state.isPaused) return { type: 'wait', reason: 'paused' };
  const spent = spentLimit(state, limits, nowMs);
  if (spent !== undefined && !isAnswered(state)) return { type: 'finish', outcome: spent };
  if (open.length > 0) return { type: 'tools', calls: runnableTogether(open) };
  if (!isAnswered(state)) return { type: 'model' };
  if (state.isConversation && !state.isDoneRequested) return { type: 'wait', reason: 'input' };
  return { type: 'finish', outcome: { status: 'completed', response: lastAnswer(state) } };
}

/** The call id of a model call: stable for the execution, the same on every attempt. */
export function modelCallId(state: AgentState): string {
  return `${state.executionId}:${state.turn}:model`;
}

/** Opens the next turn: queued messages join the transcript, which is cut when it has grown past its budget. */
export function beginTurn(state: AgentState, limits: AgentLimits): AgentState {
  const queued = state.inbox.map((message): ModelMessage => ({ role: 'user', content: message.content }));
  let transcript: readonly ModelMessage[] = [...state.transcript, ...queued];
  for (
    let level = 1;
    level <= compactionLevelsMax && transcriptBytes(transcript) > limits.transcriptBytesMax;
    level++
  ) {
    transcript = compact(transcript, level);
  }
  return { ...state, transcript, inbox: [], turn: state.turn + 1 };
}

export function applyModelFact(state: AgentState, fact: ModelFact): AgentState {
  if (fact.type === 'failure') return applyModelFailure(state, fact.failure.kind, fact.failure.message);
  const { message } = fact;
  const pendingCalls = message.toolCalls.map((call, index): PendingCall => ({
    callId: `${state.executionId}:${state.turn}:${index}`,
    toolCallId: call.id,
    name: call.name,
    arguments: call.arguments,
    effect: fact.effects[index] ?? 'side_effecting',
  }));
  const next: AgentState = {
    ...state,
    transcript: [...state.transcript, message],
    pendingCalls,
    usage: addUsage(state.usage, fact.usage),
    compactionLevel: 0,
  };
  if (pendingCalls.length > 0) return next;
  if (fact.isFiltered) {
    return fail(next, 'The provider withheld the answer (content filter)', 'model');
  }
  if (fact.verdict === 'failed') return fail(next, firstLine(message.content), 'agent');
  return next;
}

export interface ToolOutcome {
  readonly callId: string;
  readonly content: string;
  readonly isError: boolean;
}

/** Records a tool's result. When the last call of the turn settles, the results join the transcript in the model's order. */
export function applyToolResult(state: AgentState, outcome: ToolOutcome): AgentState {
  const pendingCalls = state.pendingCalls.map((call) =>
    call.callId === outcome.callId && call.result === undefined
      ? { ...call, result: { content: outcome.content, isError: outcome.isError } }
      : call,
  );
  return pendingCalls.some((call) => call.result === undefined)
    ? { ...state, pendingCalls }
    : settleTurn({ ...state, pendingCalls });
}

/** Queues a person's message; a repeated message id is the same message and changes nothing. */
export function applyMessage(state: AgentState, message: QueuedMessage): AgentState {
  const queued = state.inbox.reduce((sum, { content }) => sum + content.length, message.content.length);
  const isFull = state.inbox.length >= inboxMessagesMax || queued > inboxCharactersMax;
  if (state.seenMessageIds.includes(message.messageId) || isFull) return state;
  return {
    ...state,
    inbox: [...state.inbox, message],
    seenMessageIds: [...state.seenMessageIds, message.messageId].slice(-seenMessageIdsMax),
  };
}

export const applyPause = (state: AgentState): AgentState => ({ ...state, isPaused: true });
export const applyResume = (state: AgentState): AgentState => ({ ...state, isPaused: false });
export const applyMarkAsDone = (state: AgentState): AgentState => ({
  ...state,
  isDoneRequested: true,
  isPaused: false,
});

/** Ends the execution: calls without a result get one, so that the transcript stays valid for every provider. */
export function applyCancel(state: AgentState): AgentState {
  const closed = closeOpenCalls(state, 'Cancelled by the user before it finished');
  return { ...closed, outcome: { status: 'cancelled', response: lastAnswer(closed) } };
}

/** Ends the execution for a reason outside the agent: no disk, a worker that cannot run it. */
export function applyFailure(
  state: AgentState,
  failure: { readonly message: string; readonly errorType: FailureType; readonly hint?: string },
): AgentState {
  const { message: error, errorType, hint } = failure;
  const closed = closeOpenCalls(state, 'Not run: the execution ended');
  const response = lastAnswer(closed);
  return {
    ...closed,
    outcome: { status: 'failed', response, error, errorType, ...(hint === undefined ? {} : { hint }) },
  };
}

function applyModelFailure(state: AgentState, kind: ModelFailureKind, message: string): AgentState {
  // Only a person's cancel stops a model call so; a worker that stops makes Temporal try again.
  if (kind === 'cancelled') return applyCancel(state);
  const smaller = kind === 'context_overflow' ? compactFurther(state) : undefined;
  return smaller ?? fail(state, message, failureType(kind));
}

/** A level that has nothing to cut in this transcript is passed over; undefined when none has. */
function compactFurther(state: AgentState): AgentState | undefined {
  for (let compactionLevel = state.compactionLevel + 1; compactionLevel <= compactionLevelsMax; compactionLevel++) {
    const transcript = compact(state.transcript, compactionLevel);
    const isSmaller = transcriptBytes(transcript) < transcriptBytes(state.transcript);
    if (isSmaller) return { ...state, transcript, compactionLevel };
  }
  return undefined;
}

function failureType(kind: ModelFailureKind): FailureType {
  switch (kind) {
    case 'authentication':
      return 'authentication';
    case 'network':
    case 'timeout':
      return 'network';
    case 'context_overflow':
      return 'limit';
    case 'rate_limited':
    case 'overloaded':
    case 'cut_stream':
    case 'bad_response':
    case 'invalid_request':
    case 'cancelled':
      return 'model';
  }
}

function fail(state: AgentState, error: string, errorType: FailureType): AgentState {
  return { ...state, outcome: { status: 'failed', response: lastAnswer(state), error, errorType } };
}

/** True when the model has said its last word on everything it was told. */
function isAnswered(state: AgentState): boolean {
  const last = state.transcript.at(-1);
  return state.inbox.length === 0 && last?.role === 'assistant' && last.toolCalls.length === 0;
}

/** Read-only calls at the head of the line run side by side; anything else runs alone, in the model's order. */
function runnableTogether(open: readonly PendingCall[]): readonly PendingCall[] {
  const firstOther = open.findIndex((call) => call.effect !== 'read_only');
  if (firstOther === 0) return open.slice(0, 1);
  return firstOther < 0 ? open : open.slice(0, firstOther);
}

function closeOpenCalls(state: AgentState, content: string): AgentState {
  if (state.pendingCalls.length === 0) return state;
  const pendingCalls = state.pendingCalls.map((call) =>
    call.result === undefined ? { ...call, result: { content, isError: true } } : call,
  );
  return settleTurn({ ...state, pendingCalls });
}

function settleTurn(state: AgentState): AgentState {
  const results = state.pendingCalls.map((call): ModelMessage => ({
    role: 'tool',
    toolCallId: call.toolCallId,
    name: call.name,
    content: call.result?.content ?? '',
    isError: call.result?.isError ?? true,
  }));
  return { ...state, pendingCalls: [], transcript: [...state.transcript, ...results] };
}

function spentLimit(state: AgentState, limits: AgentLimits, nowMs: number): Outcome | undefined {
  const error = spentLimitSentence(state, limits, nowMs);
  if (error === undefined) return undefined;
  return { status: 'failed', response: lastAnswer(state), error, errorType: 'limit' };
}

function spentLimitSentence(state: AgentState, limits: AgentLimits, nowMs: number): string | undefined {
  const tokens = state.usage.inputTokens + state.usage.outputTokens;
  if (state.turn >= limits.turnsMax && state.pendingCalls.length === 0) {
    return `The execution reached its limit of ${limits.turnsMax} turns`;
  }
  if (tokens >= limits.totalTokensMax) return `The execution reached its limit of ${limits.totalTokensMax} tokens`;
  if (nowMs - state.startedAtMs >= limits.wallTimeMsMax) {
    return `The execution reached its time limit of ${Math.round(limits.wallTimeMsMax / 1000)} s`;
  }
  return undefined;
}

function lastAnswer(state: AgentState): string {
  for (let index = state.transcript.length - 1; index >= 0; index--) {
    const message = state.transcript[index];
    if (message?.role === 'assistant' && message.content !== '') return message.content;
  }
  return '';
}

function firstLine(text: string): string {
  const end = text.indexOf('\n');
  return end < 0 ? text : text.slice(0, end);
}

function addUsage(left: Usage, right: Usage): Usage {
  return {
    inputTokens: left.inputTokens + right.inputTokens,
    outputTokens: left.outputTokens + right.outputTokens,
    cacheReadTokens: left.cacheReadTokens + right.cacheReadTokens,
    cacheWriteTokens: left.cacheWriteTokens + right.cacheWriteTokens,
  };
}
