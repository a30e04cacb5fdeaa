// The limits of an execution: where their values come from, and which of them is spent.
import type { AgentLimits, AgentState, LimitName } from './state.ts';

/** What depends on the model, or on the worker that prepared the execution, has no default. */
export type DefaultLimits = Omit<AgentLimits, 'contextTokensMax' | 'isWallTimed' | 'taskCharactersMax'>;

export const defaultLimits: DefaultLimits = {
  /** An agent that has not finished after 250 model calls is going in circles; the longest useful runs we know need about 100. */
  turnsMax: 250,
  /** About ten full windows of a 1M-token model: a runaway loop is stopped before it is a bill. */
  totalTokensMax: 10_000_000,
  /** Ten million tokens of a dear model cost about this; what a person did not expect to spend is stopped before it hurts. */
  costUsdMax: 100,
  /** A day: the longest an unattended run is plausible. */
  wallTimeMsMax: 24 * 60 * 60 * 1000,
  /** ACTIVITY_TIMEOUT's default of the worker guide. */
  toolTimeMsMax: 600_000,
  /** 100 kB is about 25,000 tokens, more than a model can use of one output. */
  toolOutputBytesMax: 100_000,
  /** A fifth of Temporal's 2 MB payload limit, so that a model call's input always fits (design: sizes). */
  transcriptBytesMax: 400_000,
};

/** Temporal takes about 4 MB as one task's answer; no character is more than 3 bytes long there. */
export const taskCharactersMax = 1_000_000;

/** A chat waits for people: it may stand for a week before it is closed. */
export const conversationWallTimeMsMax = 7 * 24 * 60 * 60 * 1000;

/** Of a model's window: the rest is for the system prompt, the tools and the answer. */
const windowPartUsed = 0.6;
export const contextTokensMaxOf = (windowTokens: number): number => Math.floor(windowTokens * windowPartUsed);

/**
 * Fills what an execution or an agent's configuration says (`limits: {turns, tokens, cost_usd, wall_time_seconds,
 * tool_time_seconds, tool_output_bytes}`, each also with `max_` before it) over the defaults. A value that is no positive
 * number is ignored.
 */
export function limitsFrom<Limits extends DefaultLimits>(
  given: Readonly<Record<string, unknown>> | null | undefined,
  defaults: Limits,
): Limits {
  const of = (name: string): number | undefined => positive(given?.[name]) ?? positive(given?.[`max_${name}`]);
  return {
    ...defaults,
    turnsMax: of('turns') ?? defaults.turnsMax,
    totalTokensMax: of('tokens') ?? defaults.totalTokensMax,
    costUsdMax: (isZero(given, 'cost_usd') ? 0 : of('cost_usd')) ?? defaults.costUsdMax,
    wallTimeMsMax: milliseconds(of('wall_time_seconds')) ?? defaults.wallTimeMsMax,
    // Never above what the worker itself allows a tool: Temporal's timeout stands behind it.
    toolTimeMsMax: Math.min(milliseconds(of('tool_time_seconds')) ?? defaults.toolTimeMsMax, defaults.toolTimeMsMax),
    toolOutputBytesMax: Math.min(of('tool_output_bytes') ?? defaults.toolOutputBytesMax, toolOutputBytesCeiling),
  };
}

/** Nothing may be spent: the one limit for which zero says something. */
const isZero = (given: Readonly<Record<string, unknown>> | null | undefined, name: string): boolean =>
  given?.[name] === 0 || given?.[`max_${name}`] === 0;

/** A fifth of Temporal's 2 MB payload limit, as the transcript's budget. */
const toolOutputBytesCeiling = 400_000;

export function spentLimit(state: AgentState, limits: AgentLimits, nowMs: number): LimitName | undefined {
  if (state.turn + (state.memberTurns ?? 0) >= limits.turnsMax && state.pendingCalls.length === 0) return 'turns';
  if (state.usage.inputTokens + state.usage.outputTokens >= limits.totalTokensMax) return 'tokens';
  if ((state.costUsd ?? 0) >= limits.costUsdMax) return 'cost';
  return nowMs - state.startedAtMs >= limits.wallTimeMsMax ? 'wall_time' : undefined;
}

export function limitSentence(limit: LimitName, limits: AgentLimits): string {
  switch (limit) {
    case 'turns':
      return `The execution reached its limit of ${limits.turnsMax} turns`;
    case 'tokens':
      return `The execution reached its limit of ${limits.totalTokensMax} tokens`;
    case 'cost':
      return `The execution reached its limit of ${limits.costUsdMax} US dollars`;
    case 'wall_time':
      return `The execution reached its time limit of ${Math.round(limits.wallTimeMsMax / 1000)} s`;
  }
}

const milliseconds = (seconds: number | undefined): number | undefined =>
  seconds === undefined ? undefined : seconds * 1000;

function positive(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : undefined;
}
