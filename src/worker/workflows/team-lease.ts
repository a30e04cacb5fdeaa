// One lease for a whole team: a member whose calls nobody takes asks its leader, which alone finds out where the workspace is.
import * as workflow from '@temporalio/workflow';
import * as v from 'valibot';
import type { Lease } from '../../agent/state.ts';
import { isRefused } from '../../protocol/workflow.ts';
import type { FindLease } from './leased-tools.ts';

const leaseSchema = v.object({ taskQueue: v.string(), journalId: v.string() });
const questionSchema = v.object({ member_execution_id: v.string(), call_id: v.string(), lease: leaseSchema });
const answerSchema = v.object({ call_id: v.string(), lease: leaseSchema });
type Question = v.InferOutput<typeof questionSchema>;

const lostSignal = workflow.defineSignal<[unknown]>('member_lease_lost');
const answerSignal = workflow.defineSignal<[unknown]>('member_lease');

/** A leader that does not answer for so long is asked again with the next look. */
const answerLimit = '2 minutes';

/** Of a member: resolves with the team's lease, which is the same as before while its holder may live. */
export function askLeader(): FindLease {
  const answers = new Map<string, Lease>();
  workflow.setHandler(answerSignal, (raw) => {
    const answer = v.safeParse(answerSchema, raw);
    if (!isRefused(raw) && answer.success) answers.set(answer.output.call_id, answer.output.lease);
  });
  return async ({ executionId, callId, lease }) => {
    const { parent } = workflow.workflowInfo();
    if (parent === undefined) return lease;
    const question: Question = { member_execution_id: executionId, call_id: callId, lease };
    await workflow.getExternalWorkflowHandle(parent.workflowId).signal(lostSignal, question);
    await workflow.condition(() => answers.has(callId), answerLimit);
    const answer = answers.get(callId) ?? lease;
    answers.delete(callId);
    return answer;
  };
}

/** Of a leader: what its members have asked and nobody has answered yet. */
export class LeaseDesk {
  private readonly questions: Question[] = [];

  constructor(private readonly find: FindLease) {
    workflow.setHandler(lostSignal, (raw) => {
      const question = v.safeParse(questionSchema, raw);
      if (!isRefused(raw) && question.success) this.questions.push(question.output);
    });
  }

  /** Answers one member until it is over. Never rejects. */
  async serve(
    executionId: string,
    member: workflow.ChildWorkflowHandle<workflow.Workflow>,
    isOver: () => boolean,
  ): Promise<void> {
    const next = (): number => this.questions.findIndex((one) => one.member_execution_id === executionId);
    for (;;) {
      await workflow.condition(() => isOver() || next() >= 0);
      if (isOver()) return;
      const [question] = this.questions.splice(next(), 1);
      if (question === undefined) continue;
      const { call_id: callId, lease } = question;
      const answer = await this.find({ executionId, callId, lease }).catch(() => lease);
      // It has just ended.
      await member.signal(answerSignal, { call_id: callId, lease: answer }).catch(() => undefined);
    }
  }
}
