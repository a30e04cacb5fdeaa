// What a team adds to the loop: equal slices of what is left, spending that counts, and words about the members.
import { expect, test } from 'bun:test';
import { defaultLimits } from '../../../src/agent/limits.ts';
import { initialState } from '../../../src/agent/reducer.ts';
import { applySpent, isWorthStarting, membershipOf, sliceOf, teamRules, withinSlice } from '../../../src/agent/team.ts';
import { memberExecutionId } from '../../../src/protocol/workflow.ts';

const state = {
  ...initialState({ executionId: 'e', prompt: 'p', messageId: 'm', isConversation: false, startedAtMs: 1_000 }),
  turn: 4,
  memberTurns: 6,
  costUsd: 1,
  usage: { inputTokens: 300, outputTokens: 100, cacheReadTokens: 0, cacheWriteTokens: 0 },
};
const limits = { ...defaultLimits, turnsMax: 20, totalTokensMax: 1_000, costUsdMax: 4, wallTimeMsMax: 10_000 };

test('a slice is a part of what the leader and its members have left, and of the time all but what an answer takes', () => {
  expect(sliceOf(state, limits, 3, 6_000)).toEqual({
    turnsMax: 3,
    totalTokensMax: 200,
    costUsdMax: 1,
    wallTimeMsMax: 2_500,
  });
});

test('of much time the leader keeps a minute', () => {
  const wallTimeMsMax = 600_000;
  expect(sliceOf(state, { ...limits, wallTimeMsMax }, 3, 1_000).wallTimeMsMax).toBe(540_000);
});

test('nobody is started with nothing: one turn for two, no money, no time', () => {
  expect(isWorthStarting(sliceOf(state, limits, 3, 6_000))).toBe(true);
  expect(isWorthStarting(sliceOf({ ...state, memberTurns: 15 }, limits, 2, 6_000))).toBe(false);
  expect(isWorthStarting(sliceOf({ ...state, costUsd: 5 }, limits, 2, 6_000))).toBe(false);
  expect(isWorthStarting(sliceOf(state, limits, 2, 12_000))).toBe(false);
  expect(isWorthStarting(sliceOf(state, { ...limits, totalTokensMax: 400 }, 2, 6_000))).toBe(false);
});

test('a member keeps its own limits where they are smaller', () => {
  const slice = { turnsMax: 5, totalTokensMax: 5_000, costUsdMax: 1, wallTimeMsMax: 100_000 };
  expect(withinSlice(limits, slice)).toEqual({ ...limits, turnsMax: 5, costUsdMax: 1 });
});

test('what a member spent is added to the tokens, the cost and the turns of the team', () => {
  const usage = { prompt_tokens: 10, completion_tokens: 5, cache_read_tokens: 2, cache_creation_tokens: 1 };
  expect(applySpent(state, { usage, conversation_turns: 2, cost_usd: 0.5 })).toMatchObject({
    usage: { inputTokens: 310, outputTokens: 105, cacheReadTokens: 2, cacheWriteTokens: 1 },
    costUsd: 1.5,
    memberTurns: 8,
  });
  // Providers that say nothing of a cost leave it as it is.
  expect(applySpent(state, { usage: {}, conversation_turns: 0 })).toMatchObject({ costUsd: 1, memberTurns: 6 });
});

test('a member’s events belong to its team’s execution', () => {
  const part = { name: 'Ada', parent_message_id: 'e:1:model', slice: { ...limits } };
  expect(membershipOf(memberExecutionId('e', 2), part)).toEqual({
    teamExecutionId: 'e',
    memberName: 'Ada',
    parentMessageId: 'e:1:model',
  });
});

test('the leader is told of each member in one line, however long its description is', () => {
  const rules = teamRules([
    { id: '1', name: 'Ada', description: `tests\n\nthings ${'x'.repeat(10_000)}` },
    { id: '2', name: 'Bob', description: '' },
  ]);
  expect(rules).toContain('\n- Ada (member_id 1): tests things x');
  expect(rules).toContain('\n- Bob (member_id 2)\n');
  expect(rules.length).toBeLessThan(1_500);
});
