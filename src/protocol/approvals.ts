// Approvals: a person's yes or no to one call of an agent, asked for and settled through the control plane.
import * as v from 'valibot';

const text = v.string();
const optionalText = v.nullish(text);

export const approvalStatuses = ['pending', 'approved', 'rejected', 'expired'] as const;
export type ApprovalStatus = (typeof approvalStatuses)[number];

/** A week: longer than any shift, and a workflow that waits costs nothing. */
export const approvalTimeoutMinutesMax = 10_080;
export const approvalTimeoutMinutesDefault = 1_440;
const titleCharactersMax = 500;
const messageCharactersMax = 20_000;
const approversMax = 100;
const reasonCharactersMax = 2_000;
const callIdCharactersMax = 500;

/**
 * POST /approvals. A repetition with the same `call_id` answers with the first approval. One with other arguments is refused:
 * what was approved is what is carried out.
 */
export const createApprovalSchema = v.object({
  execution_id: text,
  title: v.pipe(text, v.regex(/\S/), v.maxLength(titleCharactersMax)),
  message: v.nullish(v.pipe(text, v.maxLength(messageCharactersMax))),
  approver_user_ids: v.nullish(v.pipe(v.array(text), v.maxLength(approversMax))),
  approver_user_emails: v.nullish(v.pipe(v.array(text), v.maxLength(approversMax))),
  approver_group_id: optionalText,
  timeout_minutes: v.nullish(v.pipe(v.number(), v.minValue(0), v.maxValue(approvalTimeoutMinutesMax))),
  context: v.nullish(v.record(text, v.unknown())),
  /** Ours: the call that waits, one approval each. */
  call_id: v.nullish(v.pipe(text, v.minLength(1), v.maxLength(callIdCharactersMax))),
  /** Ours: `<execution_id>/member/<n>`, when a team's member waits; its workflow gets the answer. */
  member_execution_id: optionalText,
});
export type CreateApproval = v.InferInput<typeof createApprovalSchema>;

/** What the cloud answers with is `id`, `status` and the time or the verdict; the rest is ours. */
export const approvalSchema = v.object({
  id: text,
  /** One of `approvalStatuses`; another control plane may know more. */
  status: text,
  expires_at: optionalText,
  approved_by_email: optionalText,
  approved_by_name: optionalText,
  rejection_reason: optionalText,
  resolved_at: optionalText,
  execution_id: optionalText,
  title: optionalText,
  message: optionalText,
  context: v.nullish(v.record(text, v.unknown())),
  call_id: optionalText,
  member_execution_id: optionalText,
  approver_user_emails: v.nullish(v.array(text)),
  approver_group_id: optionalText,
  created_at: optionalText,
});
export type Approval = v.InferOutput<typeof approvalSchema>;

/** POST /approvals/{id}/approve and /reject (ours). Settled once: another verdict later is 409, the same one changes nothing. */
export const settleApprovalSchema = v.object({
  reason: v.nullish(v.pipe(text, v.maxLength(reasonCharactersMax))),
});
export type SettleApproval = v.InferInput<typeof settleApprovalSchema>;
