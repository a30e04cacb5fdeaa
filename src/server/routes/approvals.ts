// Approvals: workers ask for them and read them, people settle them.
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { Hono } from 'hono';
import * as v from 'valibot';
import {
  approvalSchema,
  approvalStatuses,
  createApprovalSchema,
  settleApprovalSchema,
  type Approval,
} from '../../protocol/approvals.ts';
import { ownerExecutionId } from '../../protocol/workflow.ts';
import { expireDue, findApproval, openApproval, settleApproval } from '../approvals.ts';
import type { ServerDeps } from '../deps.ts';
import { findExecution } from '../lookups.ts';
import { jsonBody, query, route } from '../openapi.ts';
import type { ApprovalRecord } from '../store/approvals.ts';

const tag = 'approvals';
const root = '/api/v1/approvals';
const listCountMax = 500;

export function approvalRoutes(deps: ServerDeps): Hono {
  const app = new Hono();
  app.post(
    root,
    route({
      summary: 'Ask for an approval (workers)',
      description: 'Once for each `call_id`: a repetition gets the first answer, and with other arguments 409.',
      tag,
      answers: { 201: approvalSchema },
      refusals: [404, 409, 422, 507],
    }),
    jsonBody(createApprovalSchema),
    (context) => context.json(show(openApproval(deps, context.req.valid('json'))), 201),
  );
  app.get(
    root,
    route({
      summary: 'List approvals, newest first',
      tag,
      answers: { 200: v.array(approvalSchema) },
      refusals: [404, 422],
    }),
    query(v.object({ execution_id: v.nullish(v.string()), status: v.nullish(v.picklist(approvalStatuses)) })),
    (context) => {
      expireDue(deps);
      const { execution_id: id, status } = context.req.valid('query');
      const execution = typeof id === 'string' ? findExecution(deps, ownerExecutionId(id)).number : undefined;
      const found = deps.store.approvals.list({ execution, status: status ?? undefined, limit: listCountMax });
      return context.json(found.map(show));
    },
  );
  app.get(
    `${root}/:id`,
    route({ summary: 'One approval', tag, answers: { 200: approvalSchema }, refusals: [404] }),
    (context) => context.json(show(findApproval(deps, context.req.param('id')))),
  );
  const verdicts = { approve: 'approved', reject: 'rejected' } as const;
  for (const verb of ['approve', 'reject'] as const) {
    app.post(
      `${root}/:id/${verb}`,
      route({
        summary: verb === 'approve' ? 'Let the call go ahead' : 'Refuse the call',
        description: 'Settled once: the same verdict again changes nothing, another one is 409.',
        tag,
        answers: { 200: approvalSchema },
        refusals: [404, 409, 422, 507],
      }),
      jsonBody(settleApprovalSchema),
      async (context) => {
        const { reason } = context.req.valid('json');
        const settlement = { status: verdicts[verb], name: localUser(), reason: reason ?? null };
        return context.json(show(await settleApproval(deps, context.req.param('id'), settlement)));
      },
    );
  }
  return app;
}

/** Whoever has the token of a local server is its owner. */
function localUser(): string {
  try {
    const { username, uid } = userInfo();
    // Bun knows it from USER alone, which a service does not have.
    return username === 'unknown' ? (nameOf(uid) ?? 'local') : username;
  } catch {
    return 'local'; // a container's user without a name
  }
}

function nameOf(uid: number): string | undefined {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  return lines.map((line) => line.split(':')).find(([, , id]) => id === String(uid))?.[0];
}

function show({ request, ...approval }: ApprovalRecord): Approval {
  const isRejected = approval.status === 'rejected';
  return {
    id: approval.id,
    status: approval.status,
    expires_at: new Date(approval.expiresAtMs).toISOString(),
    approved_by_email: approval.resolvedByEmail,
    approved_by_name: approval.resolvedByName,
    rejection_reason: isRejected ? (approval.reason ?? '') : null,
    resolved_at: approval.resolvedAt,
    execution_id: approval.executionId,
    title: request.title,
    message: request.message ?? null,
    context: request.context ?? {},
    call_id: request.call_id ?? null,
    member_execution_id: request.member_execution_id ?? null,
    approver_user_emails: request.approver_user_emails ?? [],
    approver_group_id: request.approver_group_id ?? null,
    created_at: approval.createdAt,
  };
}
