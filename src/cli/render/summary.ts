// The last lines of an execution: why it failed, then outcome, duration, tokens, cost.
import { formatDuration } from '../../lib/duration.ts';
import type { Sink, Style } from '../output.ts';
import type { Outcome } from './renderer.ts';

/** One sentence of what happened, then what to do about it; the form of every error on stderr. */
export function failureText(error: string, hint: string | undefined, sink: Sink): string {
  const line = (word: string, style: Style, text: string): string =>
    `${sink.style(style, `${word}:`)} ${sink.foreign(text)}`;
  const first = line('error', 'red', error);
  return hint === undefined ? first : `${first}\n${line('hint', 'cyan', hint)}`;
}

/** `shownError` is on the screen already. A cancel's reason is no error: somebody wanted it. */
export function endText(outcome: Outcome, sink: Sink, shownError?: string): string {
  const { error, hint, status } = outcome;
  const summary = summaryLine(outcome, sink);
  if (error === undefined || error === shownError) return summary;
  return status === 'cancelled'
    ? `${summary}: ${sink.foreign(error)}`
    : `${failureText(error, hint, sink)}\n${summary}`;
}

function summaryLine(outcome: Outcome, sink: Sink): string {
  const isGood = outcome.status === 'completed';
  const words = [`${sink.style(isGood ? 'green' : 'red', outcome.status)} in ${formatDuration(outcome.durationMs)}`];
  const input = tokenCount(outcome.usage, ['input_tokens', 'prompt_tokens']);
  const answer = tokenCount(outcome.usage, ['output_tokens', 'completion_tokens']);
  if (input + answer > 0) words.push(`${grouped(input)} tokens in`, `${grouped(answer)} out`);
  const cost = costText(outcome);
  if (cost !== undefined) words.push(cost);
  return words.join(', ');
}

export function costText({ costUsd, isCostEstimated }: Outcome): string | undefined {
  // What costs nothing, such as a model of one's own, needs no word.
  if (costUsd === undefined || costUsd === 0) return undefined;
  return `${costUsd.toFixed(4)} USD${isCostEstimated ? ' (estimated)' : ''}`;
}

/** Our own worker and the existing one name the same count differently. */
function tokenCount(usage: Outcome['usage'], names: readonly string[]): number {
  for (const name of names) if (usage[name] !== undefined) return usage[name];
  return 0;
}

function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}
