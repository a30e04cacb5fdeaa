// The durable agent's loop as a reducer: nextStep says what to do, apply* fold what happened into the state.
import type { ModelFailureKind, ModelMessage, Usage } from '../protocol/model.ts';
import { approvalToolName } from '../protocol/tool.ts';
import { bytesAllowed, compact, compactionLevelsMax, shrink, summaryEnd, transcriptBytes } from './compaction.ts';
import { limitSentence, spentLimit } from './limits.ts';
import type {
  AgentLimits,
  AgentState,
  FailureType,
  LimitName,
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
/** Of a summary: about 5,000 tokens, a hundredth of the budget of a transcript for each sentence that matters. */
const summaryCharactersMax = 20_000;

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
    messagesSeen: 0,
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
  if (spent !== undefined && !isAnswered(state)) return { type: 'finish', outcome: limitOutcome(state, spent, limits) };
  if (open.length > 0) return { type: 'tools', calls: runnableTogether(open) };
  if (!isAnswered(state)) return summaryStep(state, limits) ?? { type: 'model' };
  if (!state.isDoneRequested) {
    if (state.isEndUndecided === true && state.decision === undefined) return { type: 'decide' };
    if (state.isConversation || state.decision === 'wait') return { type: 'wait', reason: 'input' };
  }
  return { type: 'finish', outcome: answerOutcome(state) };
}

/** Puts what went before in another execution in front of the first message. */
export function withHistory(state: AgentState, history: readonly ModelMessage[]): AgentState {
  return { ...state, transcript: [...history, ...state.transcript] };
}

/** Sets the end; calls that were not run get a result that says so, so that the transcript can be continued. */
export function applyOutcome(state: AgentState, outcome: Outcome): AgentState {
  return { ...closeOpenCalls(state, 'Not run: the execution ended'), outcome };
}

/** The time is up: an answer that is already there stands, everything else ends as a limit. */
export function applyWallTime(state: AgentState, limits: AgentLimits): AgentState {
  const { outcome: _superseded, ...open } = state;
  if (isAnswered(open)) return applyOutcome(open, answerOutcome(open));
  return applyOutcome(open, limitOutcome(open, 'wall_time', limits));
}

export function applyDecision(state: AgentState, decision: 'wait' | 'finish'): AgentState {
  return { ...state, decision };
}

/** The call id of a model call: stable for the execution, the same on every attempt. */
export function modelCallId(state: AgentState): string {
  return `${state.executionId}:${state.turn}:model`;
}

/** The call id of the model call that sums up what lies before the current turn. */
export function summaryCallId(state: AgentState): string {
  return `${state.executionId}:${state.turn}:summary`;
}

/** Opens the next turn: queued messages join the transcript, which is cut when it has grown past its budget. */
export function beginTurn(state: AgentState, limits: AgentLimits): AgentState {
  const { answerProblem: _answerProblem, decision: _decision, ...rest } = state;
  const queued = withInbox(state);
  const allowed = bytesAllowed(queued, state.contextTokens, limits);
  const transcript = allowed === undefined ? queued : shrink(queued, allowed);
  const next = { ...rest, transcript, inbox: [], turn: state.turn + 1 };
  return allowed === undefined ? next : withoutContextTokens(next);
}

/** Cut for what a workflow may hand to its next run. */
export function carriable(state: AgentState, limits: AgentLimits): AgentState {
  const allowed = bytesAllowed(state.transcript, undefined, limits);
  return allowed === undefined ? state : { ...state, transcript: shrink(state.transcript, allowed) };
}

/** The summary takes the place of what it sums up; without one the next turn cuts instead. */
export function applySummary(state: AgentState, keptFrom: number, fact: ModelFact): AgentState {
  const tried = { ...state, summaryTurn: state.turn };
  if (fact.type === 'failure') return fact.failure.kind === 'cancelled' ? applyCancel(state) : tried;
  const paid = { ...tried, ...spentOn(state, fact) };
  const text = fact.message.content.trim();
  if (text === '') return paid;
  const summary: ModelMessage = {
    role: 'user',
    content: `[Summary of the conversation so far]\n${text.slice(0, summaryCharactersMax).toWellFormed()}`,
  };
  return withoutContextTokens({ ...paid, transcript: [summary, ...state.transcript.slice(keptFrom)] });
}

export function applyModelFact(state: AgentState, fact: ModelFact): AgentState {
  if (fact.type === 'failure') return applyModelFailure(state, fact.failure.kind, fact.failure.message);
  const message =
    fact.structured !== undefined && 'json' in fact.structured
      ? { ...fact.message, content: fact.structured.json }
      : fact.message;
  const pendingCalls = message.toolCalls.map((call, index): PendingCall => {
    const plan = fact.plans?.[index];
    return {
      callId: `${state.executionId}:${state.turn}:${index}`,
      toolCallId: call.id,
      name: call.name,
      arguments: call.arguments,
      effect: fact.effects[index] ?? 'side_effecting',
      ...(plan === undefined || plan === null ? {} : { plan }),
    };
  });
  const next: AgentState = {
    ...state,
    transcript: [...state.transcript, message],
    pendingCalls,
    ...spentOn(state, fact),
    contextTokens: fact.usage.inputTokens + fact.usage.outputTokens,
    compactionLevel: 0,
  };
  if (pendingCalls.length > 0) return next;
  if (fact.isFiltered) {
    return fail(next, 'The provider withheld the answer (content filter)', 'model');
  }
  if (fact.verdict === 'failed') return fail(next, firstLine(message.content), 'agent');
  return judgeStructure(
    next,
    fact.structured !== undefined && 'problem' in fact.structured ? fact.structured.problem : undefined,
  );
}

/** An answer that does not match its schema is repaired once, by telling the model; the second one stands as it is. */
function judgeStructure(state: AgentState, problem: string | undefined): AgentState {
  const { isRepairing, ...judged } = state;
  if (problem === undefined) return judged;
  if (isRepairing === true) return { ...judged, answerProblem: problem };
  const content = `Your answer does not match the output schema: ${problem}. Answer again with nothing but one JSON value that matches it.`;
  const repair: QueuedMessage = { messageId: `${state.executionId}:${state.turn}:repair`, content };
  return { ...judged, isRepairing: true, inbox: [repair, ...state.inbox] };
}

export interface ToolOutcome {
  readonly callId: string;
  readonly content: string;
  readonly isError: boolean;
  /** Of an approval: why it was refused, or null when it was given. */
  readonly denial?: string | null;
}

/** Records a tool's result. When the last call of the turn settles, the results join the transcript in the model's order. */
export function applyToolResult(state: AgentState, outcome: ToolOutcome): AgentState {
  const held = heldBy(state, outcome);
  const pendingCalls = state.pendingCalls.map((call) => {
    if (call.result !== undefined) return call;
    if (held.includes(call))
      return { ...call, result: { content: 'Not run: the approval before it was not given', isError: true } };
    const { callId, content, isError } = outcome;
    return call.callId === callId ? { ...call, result: { content, isError } } : call;
  });
  const { denial: earlier, ...rest } = state;
  const denial = outcome.denial === undefined ? earlier : (outcome.denial ?? undefined);
  const next = { ...rest, pendingCalls, ...(denial === undefined ? {} : { denial }) };
  return pendingCalls.some((call) => call.result === undefined) ? next : settleTurn(next);
}

/** Calls of the same answer that waited for an approval which was not given: refused, expired, or never asked for. */
function heldBy({ pendingCalls }: AgentState, { callId, isError }: ToolOutcome): readonly PendingCall[] {
  const open = pendingCalls.filter((call) => call.result === undefined);
  const isRefused = isError && open.some((call) => call.callId === callId && isApproval(call));
  return isRefused ? open.slice(runnableTogether(open).length) : [];
}

/** Also one that is asked for with arguments it does not take, which has no plan. */
const isApproval = ({ name, plan }: PendingCall): boolean => plan?.type === 'approval' || name === approvalToolName;

/** Queues a person's message; a repeated message id is the same message and changes nothing. */
export function applyMessage(state: AgentState, message: QueuedMessage): AgentState {
  const queued = state.inbox.reduce((sum, { content }) => sum + content.length, message.content.length);
  const isFull = state.inbox.length >= inboxMessagesMax || queued > inboxCharactersMax;
  if (state.seenMessageIds.includes(message.messageId)) return state;
  return {
    ...state,
    inbox: isFull ? state.inbox : [...state.inbox, message],
    seenMessageIds: [...state.seenMessageIds, message.messageId].slice(-seenMessageIdsMax),
    messagesSeen: (state.messagesSeen ?? state.seenMessageIds.length - 1) + 1,
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
    if (isSmaller) return withoutContextTokens({ ...state, transcript, compactionLevel });
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

/** What the last answer makes of the execution. */
function answerOutcome(state: AgentState): Outcome {
  const response = lastAnswer(state);
  if (state.answerProblem !== undefined) {
    const error = `The answer does not match the output schema: ${state.answerProblem}`;
    return { status: 'failed', response, error, errorType: 'agent' };
  }
  // Nobody is there to decide what to do instead: whoever started it has to know.
  if (state.denial !== undefined && !state.isConversation) {
    return { status: 'failed', response, error: state.denial, errorType: 'denied' };
  }
  return { status: 'completed', response };
}

function summaryStep(state: AgentState, limits: AgentLimits): Step | undefined {
  if (limits.contextTokensMax === undefined || state.summaryTurn === state.turn) return undefined;
  const transcript = withInbox(state);
  const allowed = bytesAllowed(transcript, state.contextTokens, limits);
  const keptFrom = allowed === undefined ? undefined : summaryEnd(transcript, allowed);
  // What has just been queued is for the next turn to say.
  return keptFrom === undefined
    ? undefined
    : { type: 'summarize', keptFrom: Math.min(keptFrom, state.transcript.length) };
}

function withInbox(state: AgentState): readonly ModelMessage[] {
  return [...state.transcript, ...state.inbox.map(({ content }): ModelMessage => ({ role: 'user', content }))];
}

function withoutContextTokens(state: AgentState): AgentState {
  const { contextTokens: _stale, ...rest } = state;
  return rest;
}

function spentOn(
  state: AgentState,
  spent: Pick<AgentState, 'usage' | 'costUsd'>,
): Pick<AgentState, 'usage' | 'costUsd'> {
  const usage = addUsage(state.usage, spent.usage);
  if (spent.costUsd === undefined && state.costUsd === undefined) return { usage };
  return { usage, costUsd: (state.costUsd ?? 0) + (spent.costUsd ?? 0) };
}

function fail(state: AgentState, error: string, errorType: FailureType): AgentState {
  return { ...state, outcome: { status: 'failed', response: lastAnswer(state), error, errorType } };
}

/** True when the model has said its last word on everything it was told. */
function isAnswered(state: AgentState): boolean {
  const last = state.transcript.at(-1);
  return state.inbox.length === 0 && last?.role === 'assistant' && last.toolCalls.length === 0;
}

/**
 * Calls at the head of the line that change nothing here, and those that the workflow itself carries out, run side by side.
 * Any other runs alone, when everything before it in the model's order has settled. What others are to do waits for approvals.
 */
function runnableTogether(open: readonly PendingCall[]): readonly PendingCall[] {
  const approval = open.findIndex(isApproval);
  const firstOther = open.findIndex(({ effect, plan }, index) => {
    if (plan === undefined) return effect !== 'read_only';
    return approval >= 0 && index > approval && plan.type !== 'approval' && plan.type !== 'sleep';
  });
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

function limitOutcome(state: AgentState, limit: LimitName, limits: AgentLimits): Outcome {
  const hint = 'raise the limit for this execution or for its agent (limits), or give it a smaller task';
  const error = limitSentence(limit, limits);
  return { status: 'failed', response: lastAnswer(state), error, errorType: 'limit', limit, hint };
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
