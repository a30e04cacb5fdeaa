// What a team adds to the agent's loop: the leader's words about its members, and the limits that they share.
import { ownerExecutionId, type AgentExecutionResult, type MemberPart } from '../protocol/workflow.ts';
import type { AgentLimits, AgentState, Membership, TeamMember } from './state.ts';

/** What a member may spend of its team's limits. */
export type Slice = Pick<AgentLimits, 'turnsMax' | 'totalTokensMax' | 'costUsdMax' | 'wallTimeMsMax'>;

/** Enough to choose by; a model reads the descriptions of all members in every turn. */
const descriptionCharactersMax = 500;

/** Of a team's time, unless half of what is left is less: a model reads the answers and writes its own in it. */
const answerTimeMs = 60_000;

/** The section of a leader's system prompt that says whom it leads. */
export function teamRules(members: readonly TeamMember[]): string {
  const lines = members.map(({ id, name, description }) => {
    const words = description.trim().replaceAll(/\s+/g, ' ').slice(0, descriptionCharactersMax);
    return `- ${name} (member_id ${id})${words === '' ? '' : `: ${words}`}`;
  });
  return [
    'You lead a team. Its members:',
    ...lines,
    'Hand parts of the task to members with delegate_task_to_member; calls in one answer run side by side.',
    'A member knows nothing but the task you describe: say what it needs to know and what you expect back.',
    'All of you work in the same directory. Check what members report, then answer yourself.',
  ].join('\n');
}

export function membershipOf(executionId: string, { name, parent_message_id }: MemberPart): Membership {
  return {
    teamExecutionId: ownerExecutionId(executionId),
    memberName: name,
    parentMessageId: parent_message_id,
  };
}

/**
 * Divides what is left of a team's limits into `shares` equal parts, of which members get one each. Time is not divided,
 * because they work side by side, but the leader keeps some for its answer.
 */
export function sliceOf(state: AgentState, limits: AgentLimits, shares: number, nowMs: number): Slice {
  const { inputTokens, outputTokens } = state.usage;
  const turnsLeft = limits.turnsMax - state.turn - (state.memberTurns ?? 0);
  const tokensLeft = limits.totalTokensMax - inputTokens - outputTokens;
  const timeLeftMs = limits.wallTimeMsMax - (nowMs - state.startedAtMs);
  return {
    turnsMax: Math.max(0, Math.floor(turnsLeft / shares)),
    totalTokensMax: Math.max(0, Math.floor(tokensLeft / shares)),
    costUsdMax: Math.max(0, (limits.costUsdMax - (state.costUsd ?? 0)) / shares),
    wallTimeMsMax: Math.max(0, timeLeftMs - Math.min(answerTimeMs, Math.floor(timeLeftMs / 2))),
  };
}

/** Whether a member could do anything with it. */
export function isWorthStarting(slice: Slice): boolean {
  return slice.turnsMax > 0 && slice.totalTokensMax > 0 && slice.costUsdMax > 0 && slice.wallTimeMsMax > 0;
}

/** A member keeps its own limits where they are smaller. */
export function withinSlice(limits: AgentLimits, slice: Slice): AgentLimits {
  return {
    ...limits,
    turnsMax: Math.min(limits.turnsMax, slice.turnsMax),
    totalTokensMax: Math.min(limits.totalTokensMax, slice.totalTokensMax),
    costUsdMax: Math.min(limits.costUsdMax, slice.costUsdMax),
    wallTimeMsMax: Math.min(limits.wallTimeMsMax, slice.wallTimeMsMax),
  };
}

/** What members spent is the team's. */
export function applySpent(
  state: AgentState,
  {
    usage,
    conversation_turns: turns,
    cost_usd: costUsd,
  }: Pick<AgentExecutionResult, 'usage' | 'conversation_turns' | 'cost_usd'>,
): AgentState {
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = state.usage;
  return {
    ...state,
    usage: {
      inputTokens: inputTokens + (usage['prompt_tokens'] ?? 0),
      outputTokens: outputTokens + (usage['completion_tokens'] ?? 0),
      cacheReadTokens: cacheReadTokens + (usage['cache_read_tokens'] ?? 0),
      cacheWriteTokens: cacheWriteTokens + (usage['cache_creation_tokens'] ?? 0),
    },
    costUsd: (state.costUsd ?? 0) + (costUsd ?? 0),
    memberTurns: (state.memberTurns ?? 0) + turns,
  };
}
