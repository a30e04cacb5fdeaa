// One run of an execution: walks the agent's reducer, one activity for every model call and every tool call.
import * as workflow from '@temporalio/workflow';
import * as v from 'valibot';
import { forSummary } from '../../agent/compaction.ts';
import {
  applyCancel,
  applyDecision,
  applyFailure,
  applyMarkAsDone,
  applyMessage,
  applyModelFact,
  applyOutcome,
  applyPause,
  applyResume,
  applySummary,
  applyToolResult,
  applyWallTime,
  beginTurn,
  carriable,
  initialState,
  modelCallId,
  nextStep,
  summaryCallId,
  type ToolOutcome,
  withHistory,
} from '../../agent/reducer.ts';
import type { AgentState, Membership, Outcome, PendingCall, PreparedAgent, Step } from '../../agent/state.ts';
import {
  chatMessageSchema,
  getStateQueryName,
  isRefused,
  signalNames,
  type AgentExecutionInput,
  type AgentExecutionResult,
  type ExecutionStatus,
} from '../../protocol/workflow.ts';
import type { Prepared } from '../activities/types.ts';
import { bookkeeping, createCalls, type Calls, fatalFailureOf, fittingTask } from './calls.ts';
import { isPlanned, PlannedCalls } from './planned-calls.ts';
import { askLeader, LeaseDesk } from './team-lease.ts';

/** What one run hands to the next when Temporal suggests to continue as new. */
export interface Carried {
  readonly prepared: PreparedAgent;
  readonly state: AgentState;
  readonly reports: number;
}

/** What differs between the workflows that run an agent. */
export interface RunSpec {
  /** Name of the workflow, which continues as new under it with `input`. */
  readonly workflowType: string;
  readonly entityKind: 'agent' | 'team';
  readonly entityId: string;
  readonly input: Pick<AgentExecutionInput, 'execution_id' | 'prompt' | 'is_conversation'>;
  /** The first step: resolves who runs and with what. Not asked again after continue-as-new. */
  prepare(): Promise<Prepared>;
  /** Set for a member of a team: the team's execution, not this one, is known to the control plane. */
  readonly membership?: Membership;
}

/** get_state truncates messages to this many characters, so that the query's answer stays far below 2 MB. */
const queryMessageCharactersMax = 2_000;
const queryMessagesMax = 100;

/** The run's mutable part: the state, and what its handlers and its loop share. */
export class ExecutionRun {
  private readonly spec: RunSpec;
  private prepared: PreparedAgent | undefined;
  private state: AgentState;
  private planned: PlannedCalls | undefined;
  /** Verdicts on approvals that came before the first step was done. */
  private readonly earlyVerdicts: unknown[] = [];
  private isTimeUp = false;
  private reports: number;
  private status: ExecutionStatus = 'running';

  constructor(spec: RunSpec, carried: Carried | undefined) {
    const { input } = spec;
    this.spec = spec;
    this.prepared = carried?.prepared;
    this.reports = carried?.reports ?? 0;
    this.state =
      carried?.state ??
      initialState({
        executionId: input.execution_id,
        prompt: input.prompt,
        messageId: `${input.execution_id}_user_1`,
        isConversation: input.is_conversation === true,
        startedAtMs: workflow.workflowInfo().startTime.getTime(),
      });
  }

  /** Handlers only fold into the state, synchronously; the loop looks at it before each step. */
  listen(): void {
    workflow.setHandler(workflow.defineSignal<[unknown]>(signalNames.addMessage), (raw) => this.onMessage(raw));
    workflow.setHandler(workflow.defineSignal<[unknown?]>(signalNames.markAsDone), (raw) =>
      this.onControl(raw, applyMarkAsDone),
    );
    workflow.setHandler(workflow.defineSignal<[unknown?]>(signalNames.pause), (raw) => this.onControl(raw, applyPause));
    workflow.setHandler(workflow.defineSignal<[unknown?]>(signalNames.resume), (raw) =>
      this.onControl(raw, applyResume),
    );
    workflow.setHandler(workflow.defineSignal<[unknown]>(signalNames.approvalResponse), (raw) => {
      if (this.planned === undefined) this.earlyVerdicts.push(raw);
      else this.planned.onVerdict(raw);
    });
    workflow.setHandler(workflow.defineQuery(getStateQueryName), () => this.describe());
  }

  async walk(): Promise<AgentExecutionResult> {
    try {
      const prepared = (this.prepared ??= await this.prepare());
      const calls = createCalls(prepared, this.spec.membership === undefined ? undefined : askLeader());
      this.planned = new PlannedCalls({
        executionId: this.state.executionId,
        prepared,
        leader: {
          prepared,
          state: () => this.state,
          fold: (change) => {
            this.state = change(this.state);
          },
          lease: () => calls.lease(),
          ...(prepared.members === undefined
            ? {}
            : { leaseDesk: new LeaseDesk((question) => calls.leaseAfter(question)) }),
        },
      });
      for (const raw of this.earlyVerdicts.splice(0)) this.planned.onVerdict(raw);
      await this.withinWallTime(prepared, () => this.loop(prepared, calls));
    } catch (error) {
      this.onEnd(error);
    }
    const outcome = this.state.outcome ?? { status: 'completed', response: '' };
    await workflow.CancellationScope.nonCancellable(() => this.report(outcome.status, outcome));
    this.status = outcome.status;
    // A leader wants to know what its member spent until then.
    if (outcome.status === 'cancelled' && this.spec.membership === undefined)
      throw new workflow.CancelledFailure('The execution was cancelled');
    return this.result(outcome);
  }

  private async prepare(): Promise<PreparedAgent> {
    const { history, isEndUndecided, ...prepared } = await this.spec.prepare();
    if (history !== undefined) this.state = withHistory(this.state, history);
    if (isEndUndecided === true) this.state = { ...this.state, isEndUndecided };
    return prepared;
  }

  /** When the time is up, whatever runs or waits is stopped as by a cancel, and the end is another. */
  private async withinWallTime({ limits }: PreparedAgent, work: () => Promise<void>): Promise<void> {
    if (limits.isWallTimed !== true) return work();
    const working = new workflow.CancellationScope();
    const timing = new workflow.CancellationScope();
    const leftMs = Math.max(1, this.state.startedAtMs + limits.wallTimeMsMax - Date.now());
    const timer = timing.run(async () => {
      await workflow.sleep(leftMs);
      this.isTimeUp = true;
      working.cancel();
    });
    timer.catch(() => undefined); // cancelled with the work, or with the execution
    const isCancelled = (): boolean => workflow.CancellationScope.current().consideredCancelled;
    try {
      await working.run(work);
    } catch (error) {
      if (!this.isTimeUp || isCancelled() || !workflow.isCancellation(error)) throw error;
    } finally {
      timing.cancel();
    }
    const { outcome } = this.state;
    const isStopped = outcome === undefined || outcome.status === 'cancelled';
    if (this.isTimeUp && isStopped && !isCancelled()) this.state = applyWallTime(this.state, limits);
  }

  private async loop(prepared: PreparedAgent, calls: Calls): Promise<void> {
    for (;;) {
      const step = nextStep(this.state, prepared.limits, Date.now());
      if (step.type === 'finish') {
        this.state = applyOutcome(this.state, step.outcome);
        return;
      }
      if (step.type === 'wait') await this.wait(step, prepared);
      else if (step.type === 'model') await this.turn(prepared, calls);
      else if (step.type === 'summarize') await this.summarize(step.keptFrom, prepared, calls);
      else if (step.type === 'decide') await this.decide();
      else await this.runTools(fittingTask(step.calls, prepared), calls);
      if (this.mayContinueAsNew()) await this.continueAsNew(prepared, calls);
    }
  }

  private async turn(prepared: PreparedAgent, calls: Calls): Promise<void> {
    this.state = beginTurn(this.state, prepared.limits);
    const fact = await calls.model({
      executionId: this.state.executionId,
      callId: modelCallId(this.state),
      turn: this.state.turn,
      prepared,
      messages: this.state.transcript,
    });
    this.state = applyModelFact(this.state, fact);
  }

  private async summarize(keptFrom: number, prepared: PreparedAgent, calls: Calls): Promise<void> {
    const fact = await calls.model({
      executionId: this.state.executionId,
      callId: summaryCallId(this.state),
      turn: this.state.turn,
      prepared,
      purpose: 'summary',
      messages: forSummary(this.state.transcript.slice(0, keptFrom)),
    });
    this.state = applySummary(this.state, keptFrom, fact);
  }

  /** Nobody said whether more is to come: the control plane has its own opinion, asked once for each answer. */
  private async decide(): Promise<void> {
    await this.report('running', undefined, true);
    const decision = await bookkeeping.decideEnd({ executionId: this.state.executionId });
    this.state = applyDecision(this.state, decision);
  }

  private async runTools(pending: readonly PendingCall[], calls: Calls): Promise<void> {
    let isOver = false;
    // All of them, also after a failure or a cancel: an activity whose workflow has ended is never told to stop.
    const settling = Promise.allSettled(
      pending.map(async (call) => {
        const outcome = await this.runTool(call, calls);
        this.state = applyToolResult(this.state, outcome);
      }),
    ).finally(() => {
      isOver = true;
    });
    if (pending.some(isPlanned)) await this.tellPauses(() => isOver);
    for (const one of await settling) if (one.status === 'rejected') throw one.reason;
  }

  private async runTool(call: PendingCall, calls: Calls): Promise<ToolOutcome> {
    const { executionId, turn } = this.state;
    if (this.planned !== undefined && isPlanned(call)) return this.planned.run(call, turn);
    return calls.tool({ executionId, turn, call });
  }

  /** A call that waits for days must not hide that the execution is paused. */
  private async tellPauses(isOver: () => boolean): Promise<void> {
    let isShown = false;
    try {
      for (;;) {
        await workflow.condition(() => isOver() || this.state.isPaused !== isShown);
        if (isOver()) break;
        isShown = this.state.isPaused;
        await this.report(isShown ? 'paused' : 'running');
      }
    } catch (error) {
      // The calls are stopped by the same cancel; what becomes of them is the caller's to see.
      if (!workflow.isCancellation(error)) throw error;
    }
    if (isShown && !this.state.isPaused) await this.report('running');
  }

  private async wait(step: Extract<Step, { type: 'wait' }>, prepared: PreparedAgent): Promise<void> {
    await this.report(step.reason === 'paused' ? 'paused' : 'waiting_for_input');
    const next = (): Step => nextStep(this.state, prepared.limits, Date.now());
    const isWaiting = (now: Step): boolean => now.type === 'wait' && now.reason === step.reason;
    await workflow.condition(() => !isWaiting(next()));
    const { type } = next();
    if (type !== 'finish' && type !== 'wait') await this.report('running');
  }

  /** At a turn's boundary nothing is open and no await stands between this check and the command. A cancel is not carried over. */
  private mayContinueAsNew(): boolean {
    const isCancelled = workflow.CancellationScope.current().consideredCancelled;
    return workflow.workflowInfo().continueAsNewSuggested && this.state.pendingCalls.length === 0 && !isCancelled;
  }

  private async continueAsNew(before: PreparedAgent, calls: Calls): Promise<void> {
    const lease = calls.lease();
    const prepared = lease === undefined ? before : { ...before, lease };
    const next = workflow.makeContinueAsNewFunc<(input: unknown, carried: Carried) => Promise<AgentExecutionResult>>({
      workflowType: this.spec.workflowType,
      workflowTaskTimeout: prepared.timing.workflowTaskTimeoutMs,
    });
    await next(this.spec.input, { prepared, state: this.carriable(), reports: this.reports });
  }

  private carriable(): AgentState {
    return this.prepared === undefined ? this.state : carriable(this.state, this.prepared.limits);
  }

  private onMessage(raw: unknown): void {
    const parsed = v.safeParse(chatMessageSchema, raw);
    if (isRefused(raw) || !parsed.success || this.isForAnother(parsed.output.execution_id)) return;
    const message = parsed.output;
    const messageId = message.message_id ?? workflow.uuid4();
    this.state = applyMessage(this.state, { messageId, content: message.content });
  }

  private onControl(raw: unknown, apply: (state: AgentState) => AgentState): void {
    const executionId = typeof raw === 'object' && raw !== null && 'execution_id' in raw ? raw.execution_id : undefined;
    if (isRefused(raw) || this.isForAnother(executionId)) return;
    this.state = apply(this.state);
  }

  private isForAnother(executionId: unknown): boolean {
    return typeof executionId === 'string' && executionId !== this.state.executionId;
  }

  private onEnd(error: unknown): void {
    if (error instanceof workflow.ContinueAsNew) throw error;
    if (workflow.isCancellation(error)) {
      this.state = applyCancel(this.state);
      return;
    }
    const fatal = fatalFailureOf(error);
    if (fatal === undefined) throw error;
    this.state = applyFailure(this.state, fatal);
  }

  private async report(
    status: ExecutionStatus & ('running' | 'paused' | 'waiting_for_input' | Outcome['status']),
    outcome?: Outcome,
    isAnswer = status !== 'running' && status !== 'paused',
  ): Promise<void> {
    this.status = status;
    this.reports++;
    await bookkeeping.report({
      executionId: this.state.executionId,
      reportId: `report:${this.reports}`,
      status,
      agentId: this.spec.entityId,
      ...(this.spec.membership === undefined ? {} : { membership: this.spec.membership }),
      ...(this.prepared === undefined ? {} : { agent: traced(this.prepared) }),
      turn: this.state.turn,
      usage: this.state.usage,
      ...(this.state.costUsd === undefined ? {} : { costUsd: this.state.costUsd }),
      ...(this.prepared?.price?.isEstimated === true ? { isCostEstimated: true } : {}),
      startedAtMs: this.state.startedAtMs,
      // The prompt is the first of them; states of older workers do not count.
      ...(outcome === undefined
        ? {}
        : { outcome, messagesTaken: this.state.messagesSeen ?? this.state.seenMessageIds.length - 1 }),
      // Stopped within a turn it may be larger than the control plane takes.
      ...(isAnswer ? { transcript: this.carriable().transcript } : {}),
    });
  }

  private describe(): Record<string, unknown> {
    const messages = this.state.transcript.slice(-queryMessagesMax).map((message) => ({
      role: message.role,
      content: message.content.slice(0, queryMessageCharactersMax),
    }));
    const isTruncated =
      messages.length < this.state.transcript.length ||
      this.state.transcript.some((message) => message.content.length > queryMessageCharactersMax);
    return {
      status: this.status,
      messages,
      is_truncated: isTruncated,
      current_response: '',
      error_message: this.state.outcome?.status === 'failed' ? this.state.outcome.error : null,
      usage: usageOf(this.state),
      metadata: { turn: this.state.turn, queued_messages: this.state.inbox.length },
      is_waiting_for_input: this.status === 'waiting_for_input',
      should_complete: this.state.isDoneRequested,
      is_paused: this.state.isPaused,
    };
  }

  private result(outcome: Outcome): AgentExecutionResult {
    return {
      success: outcome.status === 'completed',
      execution_id: this.state.executionId,
      status: outcome.status,
      response: outcome.response.slice(0, resultCharactersMax),
      ...(outcome.status === 'failed' ? { error: outcome.error } : {}),
      usage: usageOf(this.state),
      ...(this.state.costUsd === undefined ? {} : { cost_usd: this.state.costUsd }),
      conversation_turns: this.state.turn,
    };
  }
}

/** The workflow's own result is for people who look at Temporal; the whole answer is at the control plane. */
const resultCharactersMax = 100_000;

/** What traces name the execution by. */
function traced({ agentName, traceparent }: PreparedAgent): Pick<PreparedAgent, 'agentName' | 'traceparent'> {
  return { agentName, ...(traceparent === undefined ? {} : { traceparent }) };
}

function usageOf(state: AgentState): Record<string, number> {
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = state.usage;
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    cache_read_tokens: cacheReadTokens,
    cache_creation_tokens: cacheWriteTokens,
  };
}
