// The agent's loop without Temporal: tables of what comes next, and any interleaving of facts keeps the transcript valid.
import { describe, expect, test } from 'bun:test';
import { compact, transcriptBytes } from '../../../src/agent/compaction.ts';
import { defaultLimits, limitsFrom } from '../../../src/agent/limits.ts';
import {
  applyCancel,
  applyMarkAsDone,
  applyMessage,
  applyModelFact,
  applyPause,
  applyResume,
  applyToolResult,
  beginTurn,
  initialState,
  nextStep,
} from '../../../src/agent/reducer.ts';
import type { AgentState, ModelFact } from '../../../src/agent/state.ts';
import { noUsage, type ModelMessage } from '../../../src/protocol/model.ts';
import type { CallPlan, ToolEffect } from '../../../src/protocol/tool.ts';

const first = { executionId: 'e1', prompt: 'do it', messageId: 'm1', isConversation: false, startedAtMs: 0 };
const next = (state: AgentState, nowMs = 0) => nextStep(state, defaultLimits, nowMs);
const begin = (state: AgentState) => beginTurn(state, defaultLimits);

function answer(
  content: string,
  calls: readonly { name: string; effect?: ToolEffect }[] = [],
  extra: Partial<Extract<ModelFact, { type: 'answer' }>> = {},
): ModelFact {
  return {
    type: 'answer',
    message: {
      role: 'assistant',
      content,
      toolCalls: calls.map((call, index) => ({ id: `t${index}`, name: call.name, arguments: '{}' })),
    },
    effects: calls.map((call) => call.effect ?? 'side_effecting'),
    usage: { ...noUsage, inputTokens: 10, outputTokens: 5 },
    isFiltered: false,
    ...extra,
  };
}
const failure = (kind: Extract<ModelFact, { type: 'failure' }>['failure']['kind']): ModelFact => ({
  type: 'failure',
  failure: { kind, message: `it was ${kind}` },
});

describe('nextStep', () => {
  test('asks the model first, runs its calls, asks again and finishes with its answer', () => {
    let state = initialState(first);
    expect(next(state)).toEqual({ type: 'model' });
    state = applyModelFact(begin(state), answer('', [{ name: 'a' }]));
    const step = next(state);
    expect(step.type === 'tools' && step.calls.map((call) => call.callId)).toEqual(['e1:1:0']);
    state = applyToolResult(state, { callId: 'e1:1:0', content: 'out', isError: false });
    expect(next(state)).toEqual({ type: 'model' });
    state = applyModelFact(begin(state), answer('done'));
    expect(next(state)).toEqual({ type: 'finish', outcome: { status: 'completed', response: 'done' } });
  });

  test('runs read-only calls side by side and everything else alone, in the order of the model', () => {
    const calls = [
      { name: 'r', effect: 'read_only' },
      { name: 'r', effect: 'read_only' },
      { name: 'w' },
      { name: 'r', effect: 'read_only' },
    ] as const;
    let state = applyModelFact(begin(initialState(first)), answer('', calls));
    const groups: string[][] = [];
    for (let step = next(state); step.type === 'tools'; step = next(state)) {
      groups.push(step.calls.map((call) => call.callId));
      for (const call of step.calls)
        state = applyToolResult(state, { callId: call.callId, content: '', isError: false });
    }
    expect(groups).toEqual([['e1:1:0', 'e1:1:1'], ['e1:1:2'], ['e1:1:3']]);
  });

  test('an approval holds what changes something, and when it is not given that is not run', () => {
    const plans: (CallPlan | null)[] = [
      null,
      { type: 'approval', title: 'yes?', approverEmails: [], expiresAfterMs: 1, context: {} },
      { type: 'sleep', durationMs: 1 },
      { type: 'member', memberIds: ['m'], task: 'deploy' },
      null,
      null,
    ];
    const names = ['read', 'wait_for_approval', 'sleep', 'delegate_task_to_member', 'write', 'read'];
    const calls = names.map((name) => ({ name, effect: name === 'read' ? 'read_only' : 'side_effecting' }) as const);
    const asked = applyModelFact(begin(initialState(first)), answer('', calls, { plans }));
    const running = (state: AgentState): string[] => {
      const step = next(state);
      return step.type === 'tools' ? step.calls.map(({ name }) => name) : [];
    };
    expect(running(asked)).toEqual(['read', 'wait_for_approval', 'sleep']);
    const settled = (isError: boolean): AgentState =>
      [1, 0, 2].reduce(
        (state, index) =>
          applyToolResult(state, { callId: `e1:1:${index}`, content: 'out', isError: isError && index === 1 }),
        asked,
      );
    expect(running(settled(false))).toEqual(['delegate_task_to_member']);
    const refused = settled(true);
    expect(refused.pendingCalls).toEqual([]);
    expect(refused.transcript.slice(-3).map(({ content }) => content)).toEqual(
      Array.from({ length: 3 }, () => 'Not run: the approval before it was not given'),
    );
  });

  test('an approval that is asked for with wrong arguments holds what follows it as well', () => {
    const calls = [{ name: 'wait_for_approval' }, { name: 'write' }];
    const asked = applyModelFact(begin(initialState(first)), answer('', calls));
    const state = applyToolResult(asked, { callId: 'e1:1:0', content: 'title is missing', isError: true });
    expect(next(state)).toEqual({ type: 'model' });
  });

  test('a conversation waits after its answer, goes on with a message and ends when it is marked as done', () => {
    let state = applyModelFact(begin(initialState({ ...first, isConversation: true })), answer('hello'));
    expect(next(state)).toEqual({ type: 'wait', reason: 'input' });
    expect(next(applyMessage(state, { messageId: 'm2', content: 'more' }))).toEqual({ type: 'model' });
    state = applyMarkAsDone(state);
    expect(next(state)).toEqual({ type: 'finish', outcome: { status: 'completed', response: 'hello' } });
  });

  test('pausing holds everything, resuming goes on where it was', () => {
    const state = applyModelFact(begin(initialState(first)), answer('', [{ name: 'a' }]));
    expect(next(applyPause(state))).toEqual({ type: 'wait', reason: 'paused' });
    expect(next(applyResume(applyPause(state)))).toEqual(next(state));
  });

  test.each([
    ['turns', { turnsMax: 1 }, 'limit of 1 turns'],
    ['tokens', { totalTokensMax: 15 }, 'limit of 15 tokens'],
    ['wall time', { wallTimeMsMax: 1_000 }, 'time limit of 1 s'],
  ])('the limit of %s ends the execution', (_name, limit, words) => {
    const limits = { ...defaultLimits, ...limit };
    let state = applyModelFact(begin(initialState(first)), answer('', [{ name: 'a' }]));
    state = applyToolResult(state, { callId: 'e1:1:0', content: '', isError: false });
    const step = nextStep(state, limits, 1_000);
    expect(step.type === 'finish' && step.outcome.status === 'failed' && step.outcome.error).toContain(words);
  });

  test('a limit does not take an answer away that is already there', () => {
    const state = applyModelFact(begin(initialState(first)), answer('done'));
    expect(nextStep(state, { ...defaultLimits, totalTokensMax: 1 }, 0).type).toBe('finish');
    expect(nextStep(state, { ...defaultLimits, totalTokensMax: 1 }, 0)).toMatchObject({
      outcome: { status: 'completed' },
    });
  });
});

describe('facts', () => {
  test('a repeated message id is one message', () => {
    const state = applyMessage(initialState(first), { messageId: 'm2', content: 'x' });
    expect(applyMessage(state, { messageId: 'm2', content: 'x' })).toBe(state);
    expect(begin(state).transcript).toHaveLength(2);
  });

  test('a model call that was cancelled cancels the execution', () => {
    const state = applyModelFact(begin(initialState(first)), failure('cancelled'));
    expect(next(state)).toMatchObject({ type: 'finish', outcome: { status: 'cancelled' } });
  });

  test('queued messages are bounded in size, the oldest win', () => {
    let state = applyModelFact(begin(initialState(first)), answer('', [{ name: 'a' }]));
    for (let index = 0; index < 12; index++) {
      state = applyMessage(state, { messageId: `big-${index}`, content: `${index}`.padEnd(150_000) });
    }
    expect(state.inbox.map(({ messageId }) => messageId)).toEqual(['big-0', 'big-1']);
  });

  test('a message that comes while a tool runs is told after its result', () => {
    let state = applyModelFact(begin(initialState(first)), answer('', [{ name: 'a' }]));
    state = applyMessage(state, { messageId: 'm2', content: 'hurry' });
    state = begin(applyToolResult(state, { callId: 'e1:1:0', content: 'out', isError: false }));
    expect(state.transcript.map((message) => message.role)).toEqual(['user', 'assistant', 'tool', 'user']);
  });

  test('a second result of the same call changes nothing', () => {
    const state = applyModelFact(begin(initialState(first)), answer('', [{ name: 'a' }, { name: 'b' }]));
    const once = applyToolResult(state, { callId: 'e1:1:0', content: 'one', isError: false });
    const twice = applyToolResult(once, { callId: 'e1:1:0', content: 'two', isError: true });
    expect(twice.pendingCalls[0]?.result).toEqual({ content: 'one', isError: false });
  });

  test('cancelling gives every open call a result', () => {
    const state = applyCancel(applyModelFact(begin(initialState(first)), answer('', [{ name: 'a' }, { name: 'b' }])));
    expect(state.transcript.filter((message) => message.role === 'tool')).toHaveLength(2);
    expect(next(state)).toMatchObject({ type: 'finish', outcome: { status: 'cancelled' } });
  });

  test.each([
    ['authentication', 'authentication'],
    ['network', 'network'],
    ['rate_limited', 'model'],
    ['invalid_request', 'model'],
    ['context_overflow', 'limit'],
  ] as const)('a model failure %s ends the execution as %s', (kind, errorType) => {
    const state = applyModelFact(begin(initialState(first)), failure(kind));
    expect(state.outcome).toMatchObject({ status: 'failed', errorType });
  });

  test('one fresh output that overflows the context is cut, although the first level spares what is fresh', () => {
    let state = applyModelFact(begin(initialState(first)), answer('', [{ name: 'a' }]));
    state = applyToolResult(state, { callId: 'e1:1:0', content: 'x'.repeat(90_000), isError: false });
    state = applyModelFact(begin(state), failure('context_overflow'));
    expect(next(state)).toEqual({ type: 'model' });
    expect(transcriptBytes(state.transcript)).toBeLessThan(10_000);
  });
  test('an overflowing context is cut and asked again, and given up when nothing is left to cut', () => {
    let state = applyModelFact(
      begin(initialState(first)),
      answer(
        '',
        Array.from({ length: 12 }, () => ({ name: 'a' })),
      ),
    );
    for (let index = 0; index < 12; index++)
      state = applyToolResult(state, { callId: `e1:1:${index}`, content: 'x'.repeat(9_000), isError: false });
    const before = transcriptBytes(begin(state).transcript);
    state = applyModelFact(begin(state), failure('context_overflow'));
    expect(next(state)).toEqual({ type: 'model' });
    expect(transcriptBytes(state.transcript)).toBeLessThan(before);
    for (let round = 0; round < 5 && state.outcome === undefined; round++)
      state = applyModelFact(begin(state), failure('context_overflow'));
    expect(state.outcome).toMatchObject({ status: 'failed', errorType: 'limit' });
  });

  test('the offline model decides itself how an execution ends', () => {
    const state = applyModelFact(
      begin(initialState(first)),
      answer('a command failed\nmore', [], { verdict: 'failed' }),
    );
    expect(state.outcome).toMatchObject({ status: 'failed', error: 'a command failed' });
  });

  test('usage adds up over the turns', () => {
    let state = applyModelFact(begin(initialState({ ...first, isConversation: true })), answer('one'));
    state = applyModelFact(begin(applyMessage(state, { messageId: 'm2', content: 'two' })), answer('two'));
    expect(state.usage).toMatchObject({ inputTokens: 20, outputTokens: 10 });
  });
});

test('limits of an agent replace the defaults, nonsense does not', () => {
  expect(limitsFrom({ turns: 3, tokens: -1, wall_time_seconds: 'x' }, defaultLimits)).toEqual({
    ...defaultLimits,
    turnsMax: 3,
  });
  expect(limitsFrom(undefined, defaultLimits)).toEqual(defaultLimits);
});

test('compaction never cuts an emoji in half', () => {
  const content = `${'x'.repeat(199)}😀${'y'.repeat(50)}`;
  const long: ModelMessage[] = [
    { role: 'user', content: '' },
    { role: 'tool', toolCallId: 't', name: 'n', content, isError: false },
  ];
  const [, cut] = compact(
    [...long, ...Array.from({ length: 8 }, (): ModelMessage => ({ role: 'user', content: '' }))],
    1,
  );
  expect(cut?.content).not.toMatch(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])/);
});
