// What a model costs and takes in, as the control plane says it, else as we know it; and what a call has cost.
import type { ModelPrice } from '../../agent/state.ts';
import { messageOf } from '../../errors.ts';
import { listPriceOf } from '../../gateway/prices.ts';
import type { Usage } from '../../protocol/model.ts';
import type { WorkerDeps } from '../deps.ts';

export interface ModelTerms {
  readonly price: ModelPrice;
  readonly windowTokens: number;
}

/** The record is of our own server or of the cloud: a small question that must not hold an execution up. */
const recordLimitMs = 5_000;

/** `pricing` of the model's record is in US dollars per million tokens: `input`, `output`, `cache_read`, `cache_write`. */
export async function modelTerms(model: string, deps: Pick<WorkerDeps, 'controlPlane' | 'log'>): Promise<ModelTerms> {
  const list = listPriceOf(model);
  const estimated: ModelTerms = {
    price: { ...list.price, ...(list.price.output === 0 ? {} : { isEstimated: true }) },
    windowTokens: list.windowTokens,
  };
  if (list.price.output === 0) return estimated;
  try {
    const record = await deps.controlPlane.getModel(model, {
      attemptsMax: 1,
      timeoutMs: recordLimitMs,
    });
    const window = numberOf(record.capabilities, ['context_window', 'max_input_tokens', 'context_length']);
    return {
      price: priceOf(record.pricing) ?? estimated.price,
      windowTokens: window !== undefined && window > 0 ? window : list.windowTokens,
    };
  } catch (error) {
    deps.log.debug('The control plane has no record of the model', { model, reason: messageOf(error) });
    return estimated;
  }
}

/** In US dollars. What a provider says beats an estimate; undefined in executions that older workers began. */
export function costOf(
  price: ModelPrice | undefined,
  usage: Usage,
  saidByProvider: number | undefined,
): number | undefined {
  if (price === undefined) return saidByProvider;
  if (price.isEstimated === true && saidByProvider !== undefined) return saidByProvider;
  const fresh = Math.max(0, usage.inputTokens - usage.cacheReadTokens - usage.cacheWriteTokens);
  const perMillion =
    fresh * price.input +
    usage.cacheReadTokens * (price.cacheRead ?? price.input) +
    usage.cacheWriteTokens * (price.cacheWrite ?? price.input) +
    usage.outputTokens * price.output;
  return perMillion / 1_000_000;
}

function priceOf(pricing: Readonly<Record<string, unknown>> | null | undefined): ModelPrice | undefined {
  const input = numberOf(pricing, ['input', 'input_per_million', 'input_cost_per_million']);
  const output = numberOf(pricing, ['output', 'output_per_million', 'output_cost_per_million']);
  if (input === undefined || output === undefined) return undefined;
  const cacheRead = numberOf(pricing, ['cache_read', 'cached_input']);
  const cacheWrite = numberOf(pricing, ['cache_write', 'cache_creation']);
  return {
    input,
    output,
    ...(cacheRead === undefined ? {} : { cacheRead }),
    ...(cacheWrite === undefined ? {} : { cacheWrite }),
  };
}

function numberOf(
  record: Readonly<Record<string, unknown>> | null | undefined,
  names: readonly string[],
): number | undefined {
  for (const name of names) {
    const value = record?.[name];
    const number = typeof value === 'string' ? Number(value) : value;
    if (typeof number === 'number' && Number.isFinite(number) && number >= 0) return number;
  }
  return undefined;
}
