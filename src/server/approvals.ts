// The life of an approval: opened once for each call, settled once by a person or the clock, and its workflow told of it.
import { isDeepStrictEqual } from 'node:util';
import { approvalTimeoutMinutesDefault } from '../protocol/approvals.ts';
import { ownerExecutionId, signalNames, type ApprovalResponse } from '../protocol/workflow.ts';
import type { ServerDeps } from './deps.ts';
import { findExecution } from './lookups.ts';
import { HttpProblem, notFound } from './problems.ts';
import type { ApprovalRecord, ApprovalRequest, Settlement } from './store/approvals.ts';
import { TemporalError } from './temporal.ts';

type Deps = Pick<ServerDeps, 'store' | 'temporal' | 'clock' | 'log' | 'wake'>;

/** A turn asks for a handful; beyond this the model asks in circles. */
const pendingPerExecutionMax = 200;
/** Looked at in one round of the reconciler; the rest in the next. */
const perRoundMax = 200;

/** Throws a HttpProblem: 404, 409 for an execution that has ended and for other arguments under the same call. */
export function openApproval(deps: Deps, request: ApprovalRequest): ApprovalRecord {
  const { store, clock } = deps;
  const execution = findExecution(deps, ownerExecutionId(request.execution_id));
  const waiting = waitingId(request);
  if (ownerExecutionId(waiting) !== execution.id) throw notFound('execution', waiting);
  const earlier =
    typeof request.call_id === 'string' ? store.approvals.byCall(execution.number, request.call_id) : null;
  if (earlier !== null) return sameAs(earlier, request);
  if (!execution.isOpen) throw hasEnded(execution.status);
  if (store.approvals.pendingCount(execution.number) >= pendingPerExecutionMax) {
    throw new HttpProblem(409, `The execution waits for ${pendingPerExecutionMax} approvals already`, {
      code: 'too_many_approvals',
      hint: 'answer some of them: kubiya execution approve',
    });
  }
  const timeoutMs = (request.timeout_minutes ?? approvalTimeoutMinutesDefault) * 60_000;
  return store.approvals.insert(execution.number, request, clock.now() + Math.round(timeoutMs));
}

/** What is approved is what was shown: a call that comes again must be the same one. */
function sameAs(earlier: ApprovalRecord, request: ApprovalRequest): ApprovalRecord {
  const shown = ({ title, message, context }: ApprovalRequest): unknown[] => [title, message ?? '', context ?? {}];
  if (isDeepStrictEqual(shown(earlier.request), shown(request))) return earlier;
  throw new HttpProblem(409, 'This call has asked for the approval of something else', {
    code: 'approval_changed',
    hint: 'ask again with another call_id',
    extra: { id: earlier.id },
  });
}

export function findApproval(deps: Deps, id: string | undefined): ApprovalRecord {
  expireDue(deps);
  const approval = deps.store.approvals.find(id ?? '');
  if (approval === null) throw notFound('approval', id ?? '', '`kubiya execution approve` lists those that wait');
  return approval;
}

/**
 * Stored before the workflow is told, so a Temporal that is away delays the answer and does not lose it. The same verdict again
 * changes nothing; another one is 409.
 */
export async function settleApproval(
  deps: Deps,
  id: string | undefined,
  settlement: Settlement,
): Promise<ApprovalRecord> {
  const { store } = deps;
  const before = findApproval(deps, id);
  if (before.status === 'pending') {
    const settled = store.approvals.settle(before.id, settlement) ?? before;
    await answer(deps, settled).catch((error: unknown) => {
      if (!(error instanceof TemporalError)) throw error;
      deps.log.warn(`${error.message}; the answer to an approval waits for it`, { approval: before.id });
    });
    deps.wake();
    return store.approvals.find(before.id) ?? settled;
  }
  if (before.status === settlement.status) return before;
  throw new HttpProblem(409, `The approval is already ${before.status}`, {
    code: `approval_${before.status}`,
    hint: before.status === 'expired' ? 'the agent was told so and may ask again' : undefined,
  });
}

/** By the server's clock, and with its execution. */
export function expireDue({ store, clock }: Pick<Deps, 'store' | 'clock'>): void {
  const dueOf = () => store.approvals.due(clock.now(), perRoundMax);
  // All of them: whoever is asked next must not find one that can still be approved.
  for (let due = dueOf(); due.length > 0; due = dueOf())
    store.transaction(() => due.forEach(({ id }) => store.approvals.settle(id, { status: 'expired' })));
}

/** Tells workflows what has been settled and what nobody answered in time. Throws a TemporalError. */
export async function answerApprovals(deps: Deps): Promise<void> {
  expireDue(deps);
  for (const approval of deps.store.approvals.unanswered(perRoundMax)) {
    try {
      await answer(deps, approval);
    } catch (error) {
      if (!(error instanceof TemporalError) || error.kind === 'unavailable') throw error;
      // It would be refused again, and the worker asks for the answer by itself.
      deps.log.error('A workflow could not be told of an approval', { approval: approval.id, error });
      deps.store.approvals.markAnswered(approval.id);
    }
  }
}

async function answer({ store, temporal }: Deps, approval: ApprovalRecord): Promise<void> {
  const execution = store.executions.find(approval.executionId);
  if (approval.status === 'pending') return;
  if (execution?.isOpen === true) {
    const waiting = waitingId(approval.request);
    const payload: ApprovalResponse = {
      execution_id: waiting,
      approval_id: approval.id,
      status: approval.status,
      resolved_by: approval.resolvedByEmail ?? approval.resolvedByName,
      reason: approval.reason,
    };
    try {
      // A member's workflow is a child of the team's, below its id.
      const workflowId = `${execution.workflowId}${waiting.slice(execution.id.length)}`;
      await temporal.signal(workflowId, signalNames.approvalResponse, payload);
    } catch (error) {
      // It has ended: nobody waits any more.
      if (!(error instanceof TemporalError && error.kind === 'not_found')) throw error;
    }
  }
  store.approvals.markAnswered(approval.id);
}

/** The execution whose workflow waits. */
function waitingId({ execution_id: id, member_execution_id: member }: ApprovalRequest): string {
  return member ?? id;
}

function hasEnded(status: string): HttpProblem {
  return new HttpProblem(409, `The execution is already ${status}`, {
    code: 'execution_not_open',
    hint: 'start a new one',
  });
}
