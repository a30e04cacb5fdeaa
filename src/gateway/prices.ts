// What well-known models cost and how much they take in: for limits on cost and for compaction, where nobody says it better.

/** US dollars per million tokens. */
export interface ListPrice {
  readonly input: number;
  readonly output: number;
  readonly cacheRead?: number;
  readonly cacheWrite?: number;
}

interface KnownModel {
  /** What the id contains after its provider, whatever stands around it; the first that fits counts. */
  readonly pattern: RegExp;
  readonly price: ListPrice;
  readonly windowTokens: number;
}

const free: ListPrice = { input: 0, output: 0 };

/** From the providers' price lists of 2025; they are for orientation, and shown as estimated. */
const knownModels: readonly KnownModel[] = [
  model(/claude-opus-4-[5-9]/, [5, 25, 0.5, 6.25], 200_000),
  model(/claude-(3-)?opus/, [15, 75, 1.5, 18.75], 200_000),
  model(/claude-haiku-4/, [1, 5, 0.1, 1.25], 200_000),
  model(/claude.*haiku/, [0.8, 4, 0.08, 1], 200_000),
  model(/claude/, [3, 15, 0.3, 3.75], 200_000),
  model(/gpt-5.*nano/, [0.05, 0.4, 0.005], 400_000),
  model(/gpt-5.*mini/, [0.25, 2, 0.025], 400_000),
  model(/gpt-5.*pro/, [15, 120], 400_000),
  model(/gpt-5/, [1.25, 10, 0.125], 400_000),
  model(/gpt-4\.1-nano/, [0.1, 0.4, 0.025], 1_000_000),
  model(/gpt-4\.1-mini/, [0.4, 1.6, 0.1], 1_000_000),
  model(/gpt-4\.1/, [2, 8, 0.5], 1_000_000),
  model(/gpt-4o-mini/, [0.15, 0.6, 0.075], 128_000),
  model(/gpt-4o/, [2.5, 10, 1.25], 128_000),
  model(/\bo[34]-mini/, [1.1, 4.4, 0.275], 200_000),
  model(/\bo3/, [2, 8, 0.5], 200_000),
  model(/gemini.*flash/, [0.3, 2.5, 0.075], 1_000_000),
  model(/gemini.*pro/, [1.25, 10, 0.31], 1_000_000),
  model(/deepseek/, [0.56, 1.68, 0.07], 128_000),
  model(/grok.*(mini|fast)/, [0.3, 0.5, 0.075], 128_000),
  model(/grok/, [3, 15, 0.75], 256_000),
  model(/mistral-large|mistral-medium/, [2, 6], 128_000),
  model(/llama|qwen|mistral|mixtral|gpt-oss|phi-|gemma/, [0.9, 0.9], 128_000),
];

/** What an unknown model is taken to cost: the dearest of those above, so that a limit is kept rather than passed. */
const dearest: ListPrice = { input: 15, output: 120 };
/** The smallest window of the models that people run agents with. */
const windowTokensUnknown = 128_000;

/** Runs on the user's own machine. */
const freeProviders: ReadonlySet<string> = new Set(['ollama', 'kubiya/offline']);

/** Never fails: a model that nobody knows has the dearest price and the smallest window. */
export function listPriceOf(modelId: string): { readonly price: ListPrice; readonly windowTokens: number } {
  const id = modelId.toLowerCase();
  const known = knownModels.find(({ pattern }) => pattern.test(id));
  const windowTokens = known?.windowTokens ?? windowTokensUnknown;
  const isFree = freeProviders.has(id) || freeProviders.has(id.split('/', 1)[0] ?? '');
  return { price: isFree ? free : (known?.price ?? dearest), windowTokens };
}

function model(
  pattern: RegExp,
  [input, output, cacheRead, cacheWrite]: readonly [number, number, number?, number?],
  windowTokens: number,
): KnownModel {
  return {
    pattern,
    windowTokens,
    price: {
      input,
      output,
      ...(cacheRead === undefined ? {} : { cacheRead }),
      ...(cacheWrite === undefined ? {} : { cacheWrite }),
    },
  };
}
