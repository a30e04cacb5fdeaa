// Calls that the workflow itself carries out, with timers, signals and other workflows: waiting holds no slot of a worker.
import * as workflow from '@temporalio/workflow';
import * as v from 'valibot';
import type { ToolOutcome } from '../../agent/reducer.ts';
import type { PendingCall, PollTiming, PreparedAgent } from '../../agent/state.ts';
import type { CallPlan, ToolStatus } from '../../protocol/tool.ts';
import { approvalResponseSchema, isRefused } from '../../protocol/workflow.ts';
import type { ApprovalView, ExecutionLook, PlannedCallInput, PlanOf } from '../activities/types.ts';
import { bookkeeping, farewells } from './calls.ts';
import { type Leader, runMembers } from './members.ts';

/** A call of the current turn with the plan that says how the workflow carries it out. */
export type PlannedCall<Type extends CallPlan['type'] = CallPlan['type']> = Omit<PendingCall, 'plan'> & {
  readonly plan: PlanOf<Type>;
};

/** How a planned call ended, before it is told. */
export interface PlannedResult {
  readonly status: ToolStatus;
  readonly output: string;
  readonly approval?: ApprovalView;
  /** Of an approval: why it was refused, or null when it was given. */
  readonly denial?: string | null;
}

export interface PlannedCallsOptions {
  readonly executionId: string;
  readonly prepared: PreparedAgent;
  /** The run itself, whose limits members share and whose state they change. */
  readonly leader: Leader;
}

/** Verdicts that came before anybody waited for them; an execution has few open approvals at once. */
const verdictsMax = 100;
/** Of older executions, which know no times. */
const pollsUnknown: PollTiming = { firstMs: 10_000, mostMs: 60_000 };
/** About an hour; who waits longer is looked for less often, so that a week fits into a history. */
const pollsUntilSlow = 60;
const slowFactor = 5;

export class PlannedCalls {
  private readonly verdicts = new Map<string, ApprovalView>();

  constructor(private readonly options: PlannedCallsOptions) {}

  /** The signal `approval_response`: somebody has settled an approval. */
  onVerdict(raw: unknown): void {
    const parsed = v.safeParse(approvalResponseSchema, raw);
    if (isRefused(raw) || !parsed.success || this.verdicts.size >= verdictsMax) return;
    const { approval_id: approvalId, status, resolved_by: resolvedBy, reason } = parsed.output;
    this.verdicts.set(approvalId, {
      approvalId,
      status,
      ...(typeof resolvedBy === 'string' ? { resolvedBy } : {}),
      ...(typeof reason === 'string' ? { reason } : {}),
    });
  }

  /** Runs the call to its end and says so. Throws only when the execution ends. */
  async run(call: PlannedCall, turn: number): Promise<ToolOutcome> {
    const input = this.inputOf(call, turn);
    const startedAtMs = Date.now();
    const told = (result: PlannedResult) => {
      const { status, output, approval } = result;
      return {
        ...input,
        result: {
          status,
          output,
          ...(status === 'success' ? {} : { error: output }),
          durationMs: Date.now() - startedAtMs,
        },
        ...(approval === undefined ? {} : { approval }),
      };
    };
    let result: PlannedResult;
    try {
      result = await this.carryOut(call, input);
    } catch (error) {
      if (!workflow.isCancellation(error)) throw error;
      const stopped: PlannedResult = { status: 'cancelled', output: 'Stopped because the execution ended' };
      await workflow.CancellationScope.nonCancellable(() => farewells.announce(told(stopped)));
      throw error;
    }
    await bookkeeping.announce(told(result));
    return {
      callId: call.callId,
      content: result.output,
      isError: result.status !== 'success',
      ...(result.denial === undefined ? {} : { denial: result.denial }),
    };
  }

  private async carryOut(call: PlannedCall, input: PlannedCallInput): Promise<PlannedResult> {
    const { plan } = call;
    switch (plan.type) {
      case 'sleep':
        await bookkeeping.announce(input);
        await workflow.sleep(Math.max(1, Math.round(plan.durationMs)));
        return { status: 'success', output: `Slept for ${plan.durationMs / 1000} s` };
      case 'approval':
        return this.waitForApproval(input, plan);
      case 'execution':
        return this.execute(input, plan);
      case 'follow_up':
        return this.followUp(input, plan);
      case 'member':
        return this.delegate(call, plan, input);
    }
  }

  private async delegate(call: PlannedCall, plan: PlanOf<'member'>, input: PlannedCallInput): Promise<PlannedResult> {
    await bookkeeping.announce(input);
    const { content, isError } = await runMembers(this.options.leader, call, plan);
    return { status: isError ? 'failed' : 'success', output: content };
  }

  private async waitForApproval(input: PlannedCallInput, plan: PlanOf<'approval'>): Promise<PlannedResult> {
    const deadlineMs = Date.now() + plan.expiresAfterMs;
    const asked = await bookkeeping.openApproval({ ...input, plan });
    if (!asked.ok) return failed(`The approval could not be asked for: ${asked.problem}`);
    const { approvalId } = asked.value;
    let view = asked.value;
    for (const pauseMs of pauses(this.polls('approval'))) {
      if (view.status !== 'pending') break;
      const leftMs = Math.max(0, deadlineMs - Date.now());
      if (leftMs > 0) await workflow.condition(() => this.verdicts.has(approvalId), Math.min(pauseMs, leftMs));
      view = this.verdicts.get(approvalId) ?? (await bookkeeping.readApproval({ approvalId }));
      if (leftMs === 0 && view.status === 'pending') view = { approvalId, status: 'expired' };
    }
    this.verdicts.delete(approvalId);
    return verdictOf(plan.title, view);
  }

  private async execute(input: PlannedCallInput, plan: PlanOf<'execution'>): Promise<PlannedResult> {
    const deadlineMs = Date.now() + plan.timeoutMs;
    await bookkeeping.announce(input);
    const started = await bookkeeping.startExecution({ ...input, plan });
    if (!started.ok) return failed(`The ${plan.entityType} was not started: ${started.problem}`);
    const executionId = started.value;
    if (!plan.isAwaited) return { status: 'success', output: `Started as execution ${executionId}` };
    try {
      return await this.waitForAnswer(executionId, deadlineMs, -1);
    } catch (error) {
      if (!workflow.isCancellation(error)) throw error;
      await workflow.CancellationScope.nonCancellable(() => farewells.cancelExecution({ executionId }));
      throw error;
    }
  }

  private async followUp(input: PlannedCallInput, plan: PlanOf<'follow_up'>): Promise<PlannedResult> {
    const { executionId } = plan;
    const deadlineMs = Date.now() + plan.timeoutMs;
    await bookkeeping.announce(input);
    const before = await bookkeeping.lookAtExecution({ executionId, isCounted: true });
    if (!before.ok) return failed(`There is no such execution: ${before.problem}`);
    const sent = await bookkeeping.sendFollowUp({ ...input, plan });
    if (!sent.ok) return failed(`The message was not taken: ${sent.problem}`);
    if (!plan.isAwaited) return { status: 'success', output: `Execution ${executionId} has the message` };
    return this.waitForAnswer(executionId, deadlineMs, before.value.messageCount);
  }

  /** Until the execution is at rest with more messages than before. */
  private async waitForAnswer(executionId: string, deadlineMs: number, messagesBefore: number): Promise<PlannedResult> {
    for (const pauseMs of pauses(this.polls('execution'))) {
      const leftMs = deadlineMs - Date.now();
      if (leftMs <= 0) break;
      await workflow.sleep(Math.min(pauseMs, leftMs));
      const look = await bookkeeping.lookAtExecution({ executionId, isCounted: false });
      if (!look.ok) return failed(`Execution ${executionId} cannot be looked at: ${look.problem}`);
      if (look.value.isAtRest && look.value.messageCount > messagesBefore) return answerOf(executionId, look.value);
    }
    return failed(`Execution ${executionId} has not answered in the given time; it goes on by itself`);
  }

  private polls(kind: 'approval' | 'execution'): PollTiming {
    return this.options.prepared.timing.polls?.[kind] ?? pollsUnknown;
  }

  private inputOf({ callId, name, arguments: raw }: PlannedCall, turn: number): PlannedCallInput {
    const { executionId, prepared } = this.options;
    const { agentName, traceparent, membership, depth } = prepared;
    return {
      executionId,
      turn,
      agent: {
        agentName,
        ...(traceparent === undefined ? {} : { traceparent }),
        ...(membership === undefined ? {} : { membership }),
        ...(depth === undefined ? {} : { depth }),
      },
      call: { callId, name, arguments: raw },
    };
  }
}

/** Whether the workflow carries the call out. */
export function isPlanned(call: PendingCall): call is PlannedCall {
  return call.plan !== undefined;
}

function* pauses({ firstMs, mostMs }: PollTiming): Generator<number> {
  let pauseMs = firstMs;
  for (let poll = 0; ; poll++) {
    yield poll < pollsUntilSlow ? pauseMs : mostMs * slowFactor;
    pauseMs = Math.min(pauseMs * 2, mostMs);
  }
}

function verdictOf(title: string, view: ApprovalView): PlannedResult {
  const by = view.resolvedBy === undefined ? '' : ` by ${view.resolvedBy}`;
  const reason = view.reason === undefined || view.reason === '' ? '' : `: ${view.reason}`;
  if (view.status === 'approved') {
    return { status: 'success', output: `Approved${by}${reason}`, approval: view, denial: null };
  }
  const what = view.status === 'rejected' ? `was rejected${by}${reason}` : 'expired: nobody answered in the given time';
  const output = `The approval "${title}" ${what}`;
  return { status: 'failed', output, approval: view, denial: output };
}

function answerOf(executionId: string, { status, answer, error }: ExecutionLook): PlannedResult {
  if (status === 'completed' || status === 'waiting_for_input') {
    return { status: 'success', output: answer === '' ? `Execution ${executionId} ended without an answer` : answer };
  }
  const why = error === undefined ? '' : `: ${error}`;
  return failed(`Execution ${executionId} ended as ${status}${why}${answer === '' ? '' : `\n${answer}`}`);
}

const failed = (output: string): PlannedResult => ({ status: 'failed', output });
