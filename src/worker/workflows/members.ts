// How a leader's task is done by members of its team: child workflows of the agent's own kind, waited for without holding a slot.
import * as workflow from '@temporalio/workflow';
import type { AgentState, Lease, PendingCall, PreparedAgent, TeamMember } from '../../agent/state.ts';
import { applySpent, isWorthStarting, sliceOf, type Slice } from '../../agent/team.ts';
import type { CallPlan } from '../../protocol/tool.ts';
import {
  agentWorkflowType,
  memberExecutionId,
  signalNames,
  teamWorkflowId,
  type AgentExecutionInput,
  type AgentExecutionResult,
} from '../../protocol/workflow.ts';
import type { ToolFact } from '../activities/types.ts';
import type { LeaseDesk } from './team-lease.ts';

type MemberPlan = Extract<CallPlan, { type: 'member' }>;

/** What of a leader's run its members' parts look at and change. */
export interface Leader {
  readonly prepared: PreparedAgent;
  readonly state: () => AgentState;
  readonly fold: (change: (state: AgentState) => AgentState) => void;
  /** As it stands now. */
  readonly lease: () => Lease | undefined;
  /** Where members ask for it when nobody takes their calls. */
  readonly leaseDesk?: LeaseDesk;
}

interface Answer {
  readonly name: string;
  readonly content: string;
  readonly isError: boolean;
}

/** Resolves when every member has ended. Rejects with a cancellation when the leader's execution was cancelled, after they have ended. */
export async function runMembers(leader: Leader, call: PendingCall, plan: MemberPlan): Promise<ToolFact> {
  const members = (leader.prepared.members ?? []).filter(({ id }) => plan.memberIds.includes(id));
  const slice = sliceOf(leader.state(), leader.prepared.limits, sharesOf(leader.state()), Date.now());
  if (!isWorthStarting(slice)) {
    const content = 'Not started: the limits of the team are spent. Answer with what you have.';
    return { callId: call.callId, content, isError: true };
  }
  // All of them, also when one is cancelled: a leader that ends before its members would leave them to the server.
  const settled = await Promise.allSettled(members.map((member) => runMember(leader, member, plan.task, slice)));
  const answers: Answer[] = [];
  for (const one of settled) {
    if (one.status === 'rejected') throw one.reason;
    answers.push(one.value);
  }
  return { callId: call.callId, ...together(answers, leader.prepared.limits.toolOutputBytesMax) };
}

/** One for each member that is to work in this turn, and one for the leader. */
function sharesOf(state: AgentState): number {
  return state.pendingCalls.reduce(
    (shares, { plan, result }) =>
      plan?.type === 'member' && result === undefined ? shares + plan.memberIds.length : shares,
    1,
  );
}

async function runMember(leader: Leader, member: TeamMember, task: string, slice: Slice): Promise<Answer> {
  const number = (leader.state().membersStarted ?? 0) + 1;
  leader.fold((state) => ({ ...state, membersStarted: number }));
  const { executionId } = leader.state();
  const input = inputOf(leader, member, { executionId: memberExecutionId(executionId, number), task, slice });
  try {
    const result = await runChild(leader, input);
    leader.fold((state) => applySpent(state, result));
    if (workflow.CancellationScope.current().consideredCancelled) {
      throw new workflow.CancelledFailure('The execution of the team was cancelled');
    }
    return answerOf(member, result);
  } catch (error) {
    const isOwnCancel = workflow.isCancellation(error) && workflow.CancellationScope.current().consideredCancelled;
    if (!(error instanceof workflow.ChildWorkflowFailure) || isOwnCancel) throw error;
    return { name: member.name, content: `${member.name} did not finish: ${reasonOf(error)}`, isError: true };
  }
}

async function runChild(leader: Leader, input: AgentExecutionInput): Promise<AgentExecutionResult> {
  const child = await workflow.startChild<(input: AgentExecutionInput) => Promise<AgentExecutionResult>>(
    agentWorkflowType,
    {
      workflowId: teamWorkflowId(input.execution_id),
      args: [input],
      parentClosePolicy: 'REQUEST_CANCEL',
      cancellationType: workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
      workflowTaskTimeout: leader.prepared.timing.workflowTaskTimeoutMs,
    },
  );
  let isOver = false;
  // A cancel reaches the member by itself; a paused one must be told to go on all the same, and so must one that asks.
  const relayed = workflow.CancellationScope.nonCancellable(() =>
    Promise.all([
      relayPause(leader, child, () => isOver),
      leader.leaseDesk?.serve(input.execution_id, child, () => isOver),
    ]),
  );
  try {
    return await child.result();
  } finally {
    isOver = true;
    await relayed;
  }
}

/** Pauses the member when the leader is paused, and lets it go on with it. Never rejects. */
async function relayPause(
  leader: Leader,
  child: workflow.ChildWorkflowHandle<(input: AgentExecutionInput) => Promise<AgentExecutionResult>>,
  isOver: () => boolean,
): Promise<void> {
  for (let isPaused = false; ;) {
    await workflow.condition(() => isOver() || leader.state().isPaused !== isPaused);
    if (isOver()) return;
    isPaused = leader.state().isPaused;
    const name = isPaused ? signalNames.pause : signalNames.resume;
    const executionId = child.workflowId.slice(teamWorkflowId('').length);
    // It has just ended.
    await child.signal(name, { execution_id: executionId }).catch(() => undefined);
  }
}

function inputOf(
  leader: Leader,
  member: TeamMember,
  { executionId, task, slice }: { readonly executionId: string; readonly task: string; readonly slice: Slice },
): AgentExecutionInput {
  const { prepared } = leader;
  const { executionId: teamExecutionId, turn } = leader.state();
  const lease = leader.lease();
  return {
    execution_id: executionId,
    agent_id: member.id,
    organization_id: '',
    prompt: task,
    is_conversation: false,
    ...(prepared.traceparent === undefined ? {} : { user_metadata: { traceparent: prepared.traceparent } }),
    ...(prepared.depth === undefined ? {} : { depth: prepared.depth }),
    member: {
      name: member.name,
      slice,
      default_model: prepared.model,
      parent_message_id: `${teamExecutionId}:${turn}:model`,
      ...(prepared.workingDirectory === undefined ? {} : { working_directory: prepared.workingDirectory }),
      ...(lease === undefined ? {} : { lease }),
    },
  };
}

function answerOf({ name }: TeamMember, { status, response, error }: AgentExecutionResult): Answer {
  if (status === 'completed')
    return { name, content: response === '' ? `${name} gave no answer` : response, isError: false };
  const reason = status === 'cancelled' ? 'it was cancelled' : (error ?? `it ended as ${status}`);
  const last = response === '' ? '' : `\nIts last words:\n${response}`;
  return { name, content: `${name} did not finish: ${reason}${last}`, isError: true };
}

function reasonOf({ cause }: workflow.ChildWorkflowFailure): string {
  if (workflow.isCancellation(cause)) return 'it was cancelled';
  if (cause instanceof workflow.TerminatedFailure) return 'it was terminated';
  if (cause instanceof workflow.TimeoutFailure) return 'it ran out of time';
  return cause?.message ?? 'for an unknown reason';
}

/** One answer as it is, several under their names; within the size of one tool's output. */
function together(answers: readonly Answer[], bytesMax: number): Pick<ToolFact, 'content' | 'isError'> {
  const isError = answers.every((answer) => answer.isError);
  const each = Math.floor(bytesMax / Math.max(1, answers.length));
  const [only] = answers;
  if (only !== undefined && answers.length === 1) return { content: cut(only.content, each), isError };
  return { content: answers.map(({ name, content }) => `## ${name}\n\n${cut(content, each)}`).join('\n\n'), isError };
}

/** Characters, which are bytes or more: an answer is text of a model, and the limit is a round number. */
function cut(content: string, charactersMax: number): string {
  if (content.length <= charactersMax) return content;
  const kept = content.slice(0, charactersMax).replace(/[\uD800-\uDBFF]$/, ''); // never half an emoji
  return `${kept}\n[${content.length - kept.length} more characters were left out]`;
}
