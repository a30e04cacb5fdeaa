// The limits of an execution and where their defaults come from.
import type { AgentLimits } from './state.ts';

export const defaultLimits: AgentLimits = {
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

/** Fills the limits of an agent's configuration (`limits: {turns, tokens, wall_time_seconds}`) over the defaults; a value that is no positive number is ignored. */
export function limitsFrom(configuration: Readonly<Record<string, unknown>>, defaults: AgentLimits): AgentLimits {
  const raw = configuration['limits'];
  const given: Record<string, unknown> = typeof raw === 'object' && raw !== null ? { ...raw } : {};
  return {
    ...defaults,
    turnsMax: positive(given['turns']) ?? defaults.turnsMax,
    totalTokensMax: positive(given['tokens']) ?? defaults.totalTokensMax,
    wallTimeMsMax: milliseconds(positive(given['wall_time_seconds'])) ?? defaults.wallTimeMsMax,
  };
}

const milliseconds = (seconds: number | undefined): number | undefined =>
  seconds === undefined ? undefined : seconds * 1000;

function positive(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : undefined;
}
