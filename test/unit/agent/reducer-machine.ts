// Plays the workflow against the reducer: any interleaving of answers, results, signals and ends, with what must hold at each step.
import * as fc from 'fast-check';
import { transcriptBytes } from '../../../src/agent/compaction.ts';
import { defaultLimits } from '../../../src/agent/limits.ts';
import {
  applyCancel,
  applyDecision,
  applyMarkAsDone,
  applyMessage,
  applyModelFact,
  applyOutcome,
  applyPause,
  applyResume,
  applySummary,
  applyToolResult,
  applyWallTime,
  beginTurn,
  carriable,
  initialState,
  nextStep,
} from '../../../src/agent/reducer.ts';
import type { AgentLimits, AgentState, ModelFact, PendingCall } from '../../../src/agent/state.ts';
import { noUsage, type ModelFailureKind } from '../../../src/protocol/model.ts';
import type { CallPlan } from '../../../src/protocol/tool.ts';
import { problemAtProviders } from './provider-rules.ts';

const plans: Record<'sleep' | 'approval' | 'member', CallPlan> = {
  sleep: { type: 'sleep', durationMs: 1 },
  approval: { type: 'approval', title: 'yes?', approverEmails: [], expiresAfterMs: 1, context: {} },
  member: { type: 'member', memberIds: ['m'], task: 'do it' },
};
const callKinds = ['read_only', 'side_effecting', 'idempotent', 'sleep', 'approval', 'member'] as const;
type CallKind = (typeof callKinds)[number];
const callKind = fc.constantFrom(...callKinds);
const planOf = (kind: CallKind): CallPlan | null =>
  kind === 'sleep' || kind === 'approval' || kind === 'member' ? plans[kind] : null;
const size = fc.oneof({ weight: 3, arbitrary: fc.nat(200) }, fc.nat(50_000));

const answerEvent = fc.record({
  kind: fc.constant('answer' as const),
  calls: fc.array(callKind, { maxLength: 4 }),
  size,
  costUsd: fc.option(fc.nat(10), { nil: undefined }),
  structure: fc.constantFrom('none' as const, 'json' as const, 'problem' as const),
  isFiltered: fc.constant(false),
  /** A message that comes while the model answers. */
  meanwhile: fc.option(fc.nat(9), { nil: undefined }),
});
const failures = ['overloaded', 'context_overflow', 'context_overflow', 'cancelled'] as const;
const event = fc.oneof(
  { weight: 6, arbitrary: answerEvent },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('result' as const),
      index: fc.nat(3),
      size,
      denial: fc.constantFrom(undefined, null, 'no'),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('message' as const), id: fc.nat(9), size: fc.nat(300) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('pause' as const, 'resume' as const, 'resume' as const, 'carry' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('failure' as const), failure: fc.constantFrom(...failures) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('done' as const, 'cancel' as const, 'timeUp' as const) }) },
);
type Event = typeof event extends fc.Arbitrary<infer Value> ? Value : never;

const world = fc.record({
  isConversation: fc.boolean(),
  isEndUndecided: fc.boolean(),
  transcriptBytesMax: fc.constantFrom(20_000, 100_000, 400_000),
  contextTokensMax: fc.constantFrom(undefined, 5_000, 50_000),
  turnsMax: fc.constantFrom(5, 250),
  costUsdMax: fc.constantFrom(15, 1_000),
  decision: fc.constantFrom('wait' as const, 'finish' as const),
  events: fc.array(event, { maxLength: 80 }),
});
type World = typeof world extends fc.Arbitrary<infer Value> ? Value : never;

/** Throws fast-check's report, with the seed and the smallest interleaving, when a rule is broken. */
export function checkReducer(runs: number, seed?: number): void {
  fc.assert(
    fc.property(world, (one) => new Machine(one).play()),
    { numRuns: runs, ...(seed === undefined ? {} : { seed }) },
  );
}

class Machine {
  private state: AgentState;
  private readonly limits: AgentLimits;
  /** Calls that the workflow has started and whose results it awaits before it asks for the next step. */
  private batch: readonly PendingCall[] = [];
  private readonly settled = new Set<string>();
  private readonly said = new Map<string, string>();
  private hasCut = false;

  constructor(private readonly world: World) {
    const { isConversation, transcriptBytesMax, contextTokensMax, turnsMax, costUsdMax } = world;
    this.limits = {
      ...defaultLimits,
      transcriptBytesMax,
      turnsMax,
      costUsdMax,
      ...(contextTokensMax === undefined ? {} : { contextTokensMax }),
    };
    const first = { executionId: 'e', prompt: '<prompt>', messageId: 'm', isConversation, startedAtMs: 0 };
    const state = initialState(first);
    this.state = world.isEndUndecided ? { ...state, isEndUndecided: true } : state;
  }

  play(): void {
    for (const one of this.world.events) {
      if (this.state.outcome !== undefined) break;
      this.take(one);
    }
    // Whatever stops it here, the conversation can be gone on with.
    const ends = [applyCancel(this.state), applyWallTime(this.state, this.limits)];
    if (this.state.outcome !== undefined) ends.push(this.state);
    for (const end of ends) {
      this.demand(end.outcome !== undefined, 'an end has an outcome');
      this.demand(nextStep(end, this.limits, 0).type === 'finish', 'after an end there is nothing to do');
      this.demandValid(end, false);
    }
  }

  private take(one: Event): void {
    switch (one.kind) {
      case 'message':
        this.hear(one.id, one.size);
        return;
      case 'pause':
        this.state = applyPause(this.state);
        return;
      case 'resume':
        this.state = applyResume(this.state);
        return;
      case 'done':
        this.state = applyMarkAsDone(this.state);
        return;
      case 'cancel':
        this.state = applyCancel(this.state);
        return;
      case 'timeUp':
        this.state = applyWallTime(this.state, this.limits);
        return;
      case 'result':
        this.settle(one);
        return;
      case 'carry':
        if (this.batch.length > 0 || this.state.pendingCalls.length > 0) return;
        this.noteCut(() => carriable(this.state, this.limits));
        return;
      default:
        this.step(one);
    }
  }

  private hear(id: number, length: number): void {
    const messageId = `x${id}`;
    const content = `<${messageId}:${'t'.repeat(length)}>`;
    if (!this.said.has(messageId)) this.said.set(messageId, content);
    this.state = applyMessage(this.state, { messageId, content });
  }

  private settle(one: Extract<Event, { kind: 'result' }>): void {
    if (this.batch.length === 0 && !this.startBatch()) return;
    const call = this.batch[one.index % this.batch.length];
    if (call === undefined) return;
    this.batch = this.batch.filter(({ callId }) => callId !== call.callId);
    this.settled.add(call.callId);
    const denial = call.plan?.type === 'approval' ? one.denial : undefined;
    const isRefused = typeof denial === 'string';
    const outcome = { callId: call.callId, content: 'r'.repeat(one.size), isError: isRefused };
    const behind = this.state.pendingCalls.slice(
      this.state.pendingCalls.findIndex((other) => other.callId === call.callId) + 1,
    );
    this.state = applyToolResult(this.state, {
      ...outcome,
      ...(denial === undefined ? {} : { denial }),
    });
    for (const { callId } of isRefused ? behind.filter(changesSomething) : []) {
      const isOpen = this.state.pendingCalls.some((other) => other.callId === callId && other.result === undefined);
      this.demand(!isOpen, 'what a refused approval held is not run');
    }
    const again = applyToolResult(this.state, { ...outcome, content: 'again' });
    this.demand(JSON.stringify(again) === JSON.stringify(this.state), 'a result counts once');
  }

  private startBatch(): boolean {
    const step = nextStep(this.state, this.limits, 0);
    if (step.type !== 'tools') {
      this.follow(step);
      return false;
    }
    this.demand(step.calls.length > 0, 'a step runs something');
    this.demand(!this.state.isPaused, 'nothing starts while it is paused');
    for (const call of step.calls) {
      this.demand(!this.settled.has(call.callId), 'no call runs twice');
      const mayRunBeside = call.effect === 'read_only' || call.plan !== undefined;
      this.demand(mayRunBeside || step.calls.length === 1, 'what changes something runs alone');
      const before = this.state.pendingCalls.slice(0, this.state.pendingCalls.indexOf(call));
      const isOpen = ({ callId }: PendingCall): boolean => !this.settled.has(callId);
      if (!mayRunBeside) this.demand(!before.some(isOpen), 'what changes something waits for what stands before it');
      const isBarrier = (other: PendingCall): boolean =>
        isOpen(other) && other.effect !== 'read_only' && other.plan === undefined;
      this.demand(!before.some(isBarrier), 'nothing overtakes what changes something');
      const isAsking = (other: PendingCall): boolean => isOpen(other) && other.plan?.type === 'approval';
      this.demand(!changesSomething(call) || !before.some(isAsking), 'an approval holds what changes something');
    }
    this.batch = step.calls;
    return true;
  }

  private step(one: Extract<Event, { kind: 'answer' | 'failure' }>): void {
    if (this.batch.length > 0) return;
    const step = nextStep(this.state, this.limits, 0);
    if (step.type === 'tools') return;
    const fact = one.kind === 'failure' ? failureOf(one.failure) : factOf(one, this.state.turn);
    if (step.type === 'summarize') {
      this.demand(this.limits.contextTokensMax !== undefined, 'only executions with a window are summed up');
      const before = this.state.transcript.length;
      this.noteCut(() => applySummary(this.state, step.keptFrom, fact));
      this.demand(this.state.transcript.length <= before, 'a summary makes it shorter');
    } else if (step.type === 'model') {
      this.demand(this.state.turn < this.limits.turnsMax, 'the limit of turns holds');
      this.demand((this.state.costUsd ?? 0) < this.limits.costUsdMax, 'the limit of cost holds');
      this.noteCut(() => beginTurn(this.state, this.limits));
      this.demandValid(this.state, true);
      this.demandSaid();
      this.demandSize();
      if (one.kind === 'answer' && one.meanwhile !== undefined) this.hear(one.meanwhile, 0);
      this.noteCut(() => applyModelFact(this.state, fact));
    } else this.follow(step);
  }

  private follow(step: ReturnType<typeof nextStep>): void {
    if (step.type === 'decide') this.state = applyDecision(this.state, this.world.decision);
    else if (step.type === 'finish') {
      if (step.outcome.status === 'completed') {
        this.demand(this.state.inbox.length === 0, 'no message is lost at the end');
        this.demand(this.state.pendingCalls.length === 0, 'no call is lost at the end');
        const mayEnd = !this.state.isConversation || this.state.isDoneRequested;
        this.demand(mayEnd, 'a conversation ends only when it is told to');
      }
      this.state = applyOutcome(this.state, step.outcome);
    } else if (step.type === 'wait' && step.reason === 'input') {
      this.demand(this.state.inbox.length === 0 && this.state.pendingCalls.length === 0, 'it waits with nothing to do');
    }
  }

  private noteCut(change: () => AgentState): void {
    const before = this.state.transcript;
    this.state = change();
    this.hasCut ||= before.some((message, index) => this.state.transcript[index] !== message);
  }

  private demandValid(state: AgentState, isRequest: boolean): void {
    const problem = problemAtProviders(state.transcript, isRequest);
    this.demand(problem === undefined, problem ?? '');
  }

  /** Every message once and in the order of its first arrival, as long as nothing was cut away. */
  private demandSaid(): void {
    if (this.hasCut) return;
    const users = this.state.transcript.flatMap(({ role, content }) =>
      role === 'user' && content.startsWith('<x') ? [content] : [],
    );
    this.demand(
      JSON.stringify(users) === JSON.stringify([...this.said.values()]),
      'each message is told once, in order',
    );
  }

  /** Within the budget, unless what cannot be cut away is larger: the first message, and the last turns. */
  private demandSize(): void {
    const bytes = transcriptBytes(this.state.transcript);
    const isSmall = this.state.transcript.length <= 12;
    this.demand(bytes <= this.limits.transcriptBytesMax || isSmall, `a request of ${bytes} bytes is over its budget`);
  }

  private demand(isTrue: boolean, rule: string): void {
    if (!isTrue) throw new Error(rule);
  }
}

function factOf(one: Extract<Event, { kind: 'answer' }>, turn: number): ModelFact {
  const kinds: readonly CallKind[] = one.calls;
  const planned = kinds.map(planOf);
  const structured = one.structure === 'json' ? { json: '{}' } : { problem: 'not JSON' };
  return {
    type: 'answer',
    message: {
      role: 'assistant',
      content: `answer ${turn} ${'a'.repeat(one.size)}`,
      toolCalls: kinds.map((_kind, index) => ({ id: `t${turn}_${index}`, name: 'tool', arguments: '{}' })),
    },
    effects: kinds.map((kind) =>
      kind === 'sleep' || kind === 'approval' || kind === 'member' ? 'side_effecting' : kind,
    ),
    ...(planned.some((plan) => plan !== null) ? { plans: planned } : {}),
    ...(one.costUsd === undefined ? {} : { costUsd: one.costUsd }),
    ...(one.structure === 'none' || kinds.length > 0 ? {} : { structured }),
    usage: { ...noUsage, inputTokens: one.size, outputTokens: 10 },
    isFiltered: one.isFiltered,
  };
}

const changesSomething = ({ effect, plan }: PendingCall): boolean =>
  plan === undefined ? effect !== 'read_only' : plan.type === 'member';

const failureOf = (kind: ModelFailureKind): ModelFact => ({ type: 'failure', failure: { kind, message: kind } });
