// Finds the provider of a model from its id and the environment's credentials, and makes the client that calls it.
import type { ModelClient } from '../protocol/model.ts';
import type { ProviderCredentials } from '../protocol/providers.ts';

export interface ResolvedModel {
  readonly client: ModelClient;
  /** The full id to record and to show, e.g. `anthropic/claude-sonnet-4-5`; resolving it again gives the same model. */
  readonly model: string;
  /** The provider's id: `kubiya`, `litellm`, `openai`, `anthropic`, `ollama`, … */
  readonly provider: string;
}

/**
 * The client for a model id, or for the first provider with a key when none is named. Opens no connection.
 * Throws KubiyaError kind `configuration`: `no_provider`, `provider_key_missing`, `unknown_model`, `bad_provider_url`.
 */
export declare function resolveModel(modelId: string | undefined, credentials: ProviderCredentials): ResolvedModel;

/**
 * The model id to use when none is named: the first provider with a key, else a running Ollama (probed for 300 ms at most).
 * Throws KubiyaError `no_provider` when there is none. Never `kubiya/offline`.
 */
export declare function discoverProvider(credentials: ProviderCredentials, signal?: AbortSignal): Promise<string>;

/** One client for every model id: each request goes where `resolveModel(request.model)` says. For the worker. */
export declare function createModelClient(credentials: ProviderCredentials): ModelClient;
