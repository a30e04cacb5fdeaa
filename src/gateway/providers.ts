// Finds the provider of a model from its id and the environment's credentials, and makes the client that calls it.
import { KubiyaError } from '../errors.ts';
import { directIfLoopback, isLoopback } from '../lib/loopback.ts';
import type { Fetch } from '../lib/network.ts';
import type { ModelClient } from '../protocol/model.ts';
import { providerVariableNames, type ProviderCredentials, type ProviderVariableName } from '../protocol/providers.ts';
import { createHttpModelClient } from './client.ts';
import { anthropicDialect } from './dialects/anthropic.ts';
import { openAiDialect } from './dialects/openai.ts';
import type { ModelEndpoint } from './endpoint.ts';
import { createOfflineModel, offlineModelId } from './offline.ts';
import {
  anthropicProvider,
  liteLlmProvider,
  ollamaProvider,
  openAiProvider,
  providerTable,
  type ProviderEntry,
} from './provider-table.ts';
import { isJsonObject } from './json.ts';

export interface ResolvedModel {
  readonly client: ModelClient;
  /** The full id to record and to show, e.g. `anthropic/claude-sonnet-4-5`; resolving it again gives the same model. */
  readonly model: string;
  /** The provider's id: `kubiya`, `litellm`, `openai`, `anthropic`, `ollama`, … */
  readonly provider: string;
}

/** Hosted providers send headers within seconds, whatever the model then does. */
const firstByteTimeoutMs = 60_000;
/** A local server loads gigabytes of weights before its first byte; a slow disk needs minutes. */
const localFirstByteTimeoutMs = 240_000;
/** A server on this machine or this network answers its list in a few milliseconds; nobody waits for one that is not there. */
const probeTimeoutMs = 300;
/** Models a worker meets in its life are a handful; a client is cheap to make again. */
const clientsMax = 100;
const offlineHint = 'Name a model with --model; kubiya/offline needs no provider: --model kubiya/offline';

/**
 * The client for a model id, or for the first provider with a key when none is named. Opens no connection.
 * Throws KubiyaError kind `configuration`: `no_provider`, `no_model`, `provider_key_missing`,
 * `unknown_model`, `bad_provider_url`, `bad_provider_key`.
 */
export function resolveModel(
  modelId: string | undefined,
  credentials: ProviderCredentials,
  fetchModel?: Fetch,
): ResolvedModel {
  const id = modelId?.trim() || namedByEnvironment(credentials);
  if (id === undefined) throw noProvider(credentials);
  if (id === offlineModelId) return { client: createOfflineModel(), model: offlineModelId, provider: 'kubiya' };
  const { entry, wireModel } = findProvider(id, credentials);
  const endpoint = endpointFor(entry, wireModel, credentials);
  const dialect = entry.dialect === 'anthropic' ? anthropicDialect : openAiDialect;
  return {
    client: createHttpModelClient({ dialect, endpoint, fetch: fetchModel }),
    model: entry === liteLlmProvider || id.startsWith(`${entry.id}/`) ? id : `${entry.id}/${id}`,
    provider: entry.id,
  };
}

/**
 * The model id to use when none is named: the first provider with a key, else a running Ollama (probed for 300 ms at most).
 * Throws KubiyaError `no_provider` (or `no_model`) when there is none. Never `kubiya/offline`.
 */
export async function discoverProvider(
  credentials: ProviderCredentials,
  signal?: AbortSignal,
  fetchModels: Fetch = fetch,
): Promise<string> {
  const named = namedByEnvironment(credentials);
  if (named !== undefined) return named;
  if (has(credentials, openAiProvider.baseUrlVariable)) throw noProvider(credentials);
  const models = await listOllamaModels(credentials, fetchModels, signal);
  const first = models?.[0];
  if (first !== undefined) return `${ollamaProvider.id}/${first}`;
  throw noProvider(
    credentials,
    models === undefined ? undefined : 'Ollama runs but has no model (ollama pull llama3.2)',
  );
}

/** One client for every model id: each request goes where `resolveModel(request.model)` says. For the worker. */
export function createModelClient(credentials: ProviderCredentials, fetchModel?: Fetch): ModelClient {
  const clients = new Map<string, ModelClient>();
  return {
    async complete(request, onDelta, signal) {
      let client = clients.get(request.model);
      if (client === undefined) {
        try {
          client = resolveModel(request.model, credentials, fetchModel).client;
        } catch (error) {
          if (!(error instanceof KubiyaError)) throw error;
          // Another worker began this execution: here the provider is not configured, and no retry changes that.
          const hint = error.hint === undefined ? '' : `; ${error.hint}`;
          return { ok: false, failure: { kind: 'authentication', message: error.message + hint } };
        }
        if (clients.size >= clientsMax) clients.clear();
        clients.set(request.model, client);
      }
      return await client.complete(request, onDelta, signal);
    },
  };
}

/** The model that the environment alone points to, without asking anybody. */
function namedByEnvironment(credentials: ProviderCredentials): string | undefined {
  if (has(credentials, liteLlmProvider.baseUrlVariable)) {
    return credentials.LITELLM_DEFAULT_MODEL?.trim() || liteLlmProvider.defaultModel;
  }
  const entry = providerTable.find((candidate) => has(credentials, candidate.keyVariable));
  return entry?.defaultModel === undefined ? undefined : `${entry.id}/${entry.defaultModel}`;
}

/** Whose model an id is: LiteLLM's when its address is set, else by its prefix, else by the names that are unmistakable. */
function findProvider(id: string, credentials: ProviderCredentials): { entry: ProviderEntry; wireModel: string } {
  if (has(credentials, liteLlmProvider.baseUrlVariable)) return { entry: liteLlmProvider, wireModel: id };
  const slash = id.indexOf('/');
  const prefixed = providerTable.find((entry) => entry.id === id.slice(0, Math.max(slash, 0)));
  if (prefixed !== undefined && slash < id.length - 1) return { entry: prefixed, wireModel: id.slice(slash + 1) };
  if (id.startsWith('claude-')) return { entry: anthropicProvider, wireModel: id };
  // A server of the user's own may call its models anything ("meta-llama/…").
  const isOwnServer = has(credentials, openAiProvider.baseUrlVariable) && !id.startsWith('kubiya/');
  if (isOwnServer || /^(?:gpt-|chatgpt-|o\d)/.test(id)) return { entry: openAiProvider, wireModel: id };
  if (id.startsWith('kubiya/')) {
    throw configurationError(
      'provider_key_missing',
      `The model ${id} is served by a LiteLLM gateway, and LITELLM_API_BASE is not set`,
      offlineHint,
    );
  }
  const prefixes = providerTable.map((entry) => `${entry.id}/`).join(', ');
  throw configurationError(
    'unknown_model',
    `No provider is known for the model ${id}`,
    `Write it with the provider in front: ${prefixes}`,
  );
}

function endpointFor(entry: ProviderEntry, wireModel: string, credentials: ProviderCredentials): ModelEndpoint {
  const ownUrl = entry.baseUrlVariable === undefined ? undefined : credentials[entry.baseUrlVariable]?.trim();
  const key = entry.keyVariable === undefined ? undefined : credentials[entry.keyVariable]?.trim() || undefined;
  // A server of the user's own may want no key; the providers' own addresses all do.
  if (entry.keyVariable !== undefined && key === undefined && !ownUrl) {
    const message = `The model ${wireModel} needs ${entry.title}, and ${entry.keyVariable} is not set`;
    throw configurationError(
      'provider_key_missing',
      message,
      `Set ${entry.keyVariable}, or name another model with --model`,
    );
  }
  // A header takes nothing else; what fetch says instead reads like a network that is down.
  if (key !== undefined && !/^[\x21-\x7e]+$/.test(key)) {
    const name = entry.keyVariable ?? entry.title;
    const message = `${name} holds a blank, a line break or a character that no key has`;
    throw configurationError('bad_provider_key', message, `Set ${name} to the key alone`);
  }
  const baseUrl = ownUrl ? baseUrlFrom(entry, ownUrl) : entry.baseUrl;
  const isOpenAiItself = entry === openAiProvider && baseUrl === openAiProvider.baseUrl;
  return {
    provider: entry.id,
    title: entry.title,
    baseUrl,
    wireModel,
    key,
    keyVariable: entry.keyVariable,
    // OpenAI's newer models refuse the old name, the servers that copied its API mostly know only that.
    outputLimitField: isOpenAiItself ? 'max_completion_tokens' : 'max_tokens',
    firstByteTimeoutMs: entry === ollamaProvider || isLoopback(baseUrl) ? localFirstByteTimeoutMs : firstByteTimeoutMs,
  };
}

/**
 * A base URL as people write it, in the form that the dialect's path is appended to: OpenAI's ends in a version, so `/v1` is
 * added to an address without a path; Anthropic's path brings its own, so it is taken off.
 */
function baseUrlFrom(entry: ProviderEntry, value: string): string {
  // OLLAMA_HOST may be `host`, `host:port` or `:port`, and 0.0.0.0 where the server was told to listen everywhere.
  const isHostOnly = entry === ollamaProvider && !value.includes('://');
  const withScheme = isHostOnly ? `http://${value.startsWith(':') ? `127.0.0.1${value}` : value}` : value;
  if (!URL.canParse(withScheme) || !/^https?:$/.test(new URL(withScheme).protocol)) {
    const message = `${entry.baseUrlVariable ?? entry.title} is not an http(s) URL`;
    throw configurationError('bad_provider_url', message, 'Give it as http://host:port or https://host/path');
  }
  const url = new URL(withScheme);
  if (url.username !== '' || url.password !== '' || url.search !== '') {
    const message = `${entry.baseUrlVariable ?? entry.title} holds a user name, a password or a query, which cannot be used`;
    throw configurationError('bad_provider_url', message, 'Give the address alone, and the key in its own variable');
  }
  if (entry === ollamaProvider) {
    if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1';
    if (isHostOnly && url.port === '' && !value.endsWith(':80')) url.port = '11434';
  }
  const path = url.pathname.replace(/\/+$/, '');
  if (entry.dialect === 'anthropic') return url.origin + path.replace(/\/v1$/, '');
  return url.origin + (path === '' ? '/v1' : path);
}

/** The models of a running Ollama, the last changed first; undefined when none runs. */
async function listOllamaModels(
  credentials: ProviderCredentials,
  fetchModels: Fetch,
  signal?: AbortSignal,
): Promise<string[] | undefined> {
  const { baseUrl } = endpointFor(ollamaProvider, '', credentials);
  const limit = AbortSignal.timeout(probeTimeoutMs);
  try {
    const response = await fetchModels(`${baseUrl.replace(/\/v1$/, '')}/api/tags`, {
      signal: signal === undefined ? limit : AbortSignal.any([limit, signal]),
      redirect: 'manual',
      ...directIfLoopback(baseUrl),
    });
    const body: unknown = response.ok ? await response.json() : undefined;
    if (!isJsonObject(body) || !Array.isArray(body['models'])) return undefined;
    return body['models'].flatMap((model: unknown) =>
      isJsonObject(model) && typeof model['name'] === 'string' ? [model['name']] : [],
    );
  } catch {
    // Nothing listens there, or something else does: either way it is no provider.
    return undefined;
  }
}

function noProvider(credentials: ProviderCredentials, detail?: string): KubiyaError {
  if (has(credentials, openAiProvider.baseUrlVariable)) {
    const hint = `Name one of that server's models: --model openai/<model>`;
    return configurationError('no_model', 'OPENAI_BASE_URL is set and no model is named', hint);
  }
  const keys = providerVariableNames.filter((name) => name.endsWith('_API_KEY') && name !== 'LITELLM_API_KEY');
  const looked = ['LITELLM_API_BASE', ...keys, detail ?? 'a running Ollama (OLLAMA_HOST)'].join(', ');
  return configurationError('no_provider', `No model provider was found; looked for ${looked}`, offlineHint);
}

function configurationError(code: string, message: string, hint: string): KubiyaError {
  return new KubiyaError(message, { kind: 'configuration', code, hint });
}

function has(credentials: ProviderCredentials, name: ProviderVariableName | undefined): boolean {
  return name !== undefined && (credentials[name]?.trim() ?? '') !== '';
}
