// One tiny call to a model through the gateway, as a worker of this machine would make it.
import type { Config } from '../config/config.ts';
import { KubiyaError } from '../errors.ts';
import { discoverProvider, resolveModel } from '../gateway/providers.ts';
import { createFetch } from '../lib/network.ts';
import type { ModelOutcome } from '../protocol/model.ts';

/** A word is asked for; models that think first need room for it. */
const outputTokensMax = 512;

export interface ModelTest {
  /** As the provider is asked for it, with its provider. */
  readonly model: string;
  readonly outcome: ModelOutcome;
  readonly durationMs: number;
}

/** `asked` undefined: the model that a worker would choose. Rejects when no provider here can serve it. */
export async function testModel(config: Config, asked: string | undefined, signal: AbortSignal): Promise<ModelTest> {
  const fetchModel = createFetch(config.network);
  const credentials = config.providers.reveal();
  const model = asked ?? config.model ?? (await discoverProvider(credentials, signal, fetchModel));
  const resolved = resolveModel(model, credentials, fetchModel);
  const startedAt = performance.now();
  const outcome = await resolved.client.complete(
    {
      model: resolved.model,
      systemPrompt: 'Answer with the single word ok.',
      messages: [{ role: 'user', content: 'Say ok.' }],
      tools: [],
      maxOutputTokens: outputTokensMax,
    },
    () => undefined,
    signal,
  );
  return { model, outcome, durationMs: Math.round(performance.now() - startedAt) };
}

/** What a failed call means for whoever tested the model. */
export function testFailure(model: string, outcome: Extract<ModelOutcome, { ok: false }>): KubiyaError {
  const { kind, message } = outcome.failure;
  return new KubiyaError(`${model} does not answer: ${message}`, {
    kind: kind === 'authentication' ? 'authentication' : 'agent_failed',
    code: `model_${kind}`,
    hint: 'check the key and the name of the model; `kubiya model list` shows those of the control plane',
  });
}
