// Asks the control plane for a person's approval and reads what became of it.
import { KubiyaError } from '../../errors.ts';
import {
  type Approval,
  approvalStatuses,
  type ApprovalStatus,
  approvalTimeoutMinutesMax,
} from '../../protocol/approvals.ts';
import type { WorkerDeps } from '../deps.ts';
import { asFailure } from './attempt.ts';
import { createToolEvents } from './tool-events.ts';
import type { AgentActivities, ApprovalView, Asked } from './types.ts';

/** Temporal owns the retries: a local activity makes one attempt. */
export const onceOnly = { attemptsMax: 1 } as const;
const msPerMinute = 60_000;

export function createOpenApproval(deps: WorkerDeps): AgentActivities['openApproval'] {
  return async ({ plan, ...input }) => {
    const { executionId, call, agent } = input;
    const events = createToolEvents(input, deps);
    events.started();
    const asked = await askOf(async () => {
      const { membership } = agent;
      return deps.controlPlane.createApproval(
        {
          execution_id: membership?.teamExecutionId ?? executionId,
          ...(membership === undefined ? {} : { member_execution_id: executionId }),
          title: deps.redactor.redact(plan.title),
          message: plan.message === undefined ? null : deps.redactor.redact(plan.message),
          approver_user_ids: [],
          approver_user_emails: plan.approverEmails,
          approver_group_id: plan.approverGroupId ?? null,
          timeout_minutes: Math.min(plan.expiresAfterMs / msPerMinute, approvalTimeoutMinutesMax),
          context: plan.context,
          call_id: call.callId,
        },
        onceOnly,
      );
    });
    if (!asked.ok) return asked;
    const expiresAt = new Date(deps.clock.now() + plan.expiresAfterMs).toISOString();
    events.approval('approval_requested', {
      approval_id: asked.value.id,
      tool_execution_id: call.callId,
      title: deps.redactor.redact(plan.title),
      ...(plan.message === undefined ? {} : { message: deps.redactor.redact(plan.message) }),
      expires_at: asked.value.expires_at ?? expiresAt,
    });
    return { ok: true, value: viewOf(asked.value) };
  };
}

export function createReadApproval({ controlPlane }: WorkerDeps): AgentActivities['readApproval'] {
  return async ({ approvalId }) => {
    const asked = await askOf(() => controlPlane.getApproval(approvalId, onceOnly));
    // An approval that is no longer there cannot be given any more.
    return asked.ok ? viewOf(asked.value) : { approvalId, status: 'expired', reason: asked.problem };
  };
}

/** What the control plane refuses for good is a value; everything that may pass is thrown for Temporal to try again. */
export async function askOf<Value>(ask: () => Promise<Value>): Promise<Asked<Value>> {
  try {
    return { ok: true, value: await ask() };
  } catch (error) {
    const isRefusal = error instanceof KubiyaError && !error.isRetryable && error.kind === 'api_refused';
    if (isRefusal) return { ok: false, problem: error.message };
    throw asFailure(error);
  }
}

function viewOf(approval: Approval): ApprovalView {
  const resolvedBy = approval.approved_by_name ?? approval.approved_by_email ?? undefined;
  const reason = approval.rejection_reason ?? undefined;
  return {
    approvalId: approval.id,
    status: statusOf(approval.status),
    ...(resolvedBy === undefined ? {} : { resolvedBy }),
    ...(reason === undefined ? {} : { reason }),
  };
}

/** A word that we do not know is no approval, and no answer yet. */
function statusOf(status: string): ApprovalStatus {
  const known = status.toLowerCase();
  return approvalStatuses.find((one) => one === known) ?? (known === 'denied' ? 'rejected' : 'pending');
}
