// The last line of an execution: outcome, duration, tokens, cost.
import { formatDuration } from '../../lib/duration.ts';
import type { Sink } from '../output.ts';
import type { Outcome } from './renderer.ts';

export function summaryLine(outcome: Outcome, sink: Sink): string {
  const isGood = outcome.status === 'completed';
  const words = [`${sink.style(isGood ? 'green' : 'red', outcome.status)} in ${formatDuration(outcome.durationMs)}`];
  const input = tokenCount(outcome.usage, ['input_tokens', 'prompt_tokens']);
  const answer = tokenCount(outcome.usage, ['output_tokens', 'completion_tokens']);
  if (input + answer > 0) words.push(`${grouped(input)} tokens in`, `${grouped(answer)} out`);
  if (outcome.costUsd !== undefined) words.push(`${outcome.costUsd.toFixed(4)} USD`);
  const line = words.join(', ');
  return outcome.error === undefined ? line : `${line}: ${sink.foreign(outcome.error)}`;
}

/** Our own worker and the existing one name the same count differently. */
function tokenCount(usage: Outcome['usage'], names: readonly string[]): number {
  for (const name of names) if (usage[name] !== undefined) return usage[name];
  return 0;
}

function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}
