// The providers we know: how each is reached, which variable holds its key, and the model it is asked for when none is named.
import type { ProviderVariableName } from '../protocol/providers.ts';

export interface ProviderEntry {
  /** The prefix of its model ids. */
  readonly id: string;
  readonly title: string;
  readonly dialect: 'openai' | 'anthropic';
  readonly keyVariable: ProviderVariableName | undefined;
  readonly baseUrlVariable?: ProviderVariableName;
  readonly baseUrl: string;
  /** Undefined where there is no model that everybody has. */
  readonly defaultModel: string | undefined;
}

/** The control plane's gateway (or any LiteLLM proxy); where its address is set, every model id goes there as it is. */
export const liteLlmProvider: ProviderEntry & { readonly baseUrlVariable: ProviderVariableName } = {
  id: 'litellm',
  title: 'LiteLLM',
  dialect: 'openai',
  keyVariable: 'LITELLM_API_KEY',
  baseUrlVariable: 'LITELLM_API_BASE',
  baseUrl: '',
  // What the control plane itself assumes for an agent without a model.
  defaultModel: 'kubiya/claude-sonnet-4',
};

export const anthropicProvider: ProviderEntry = {
  id: 'anthropic',
  title: 'Anthropic',
  dialect: 'anthropic',
  keyVariable: 'ANTHROPIC_API_KEY',
  baseUrlVariable: 'ANTHROPIC_BASE_URL',
  baseUrl: 'https://api.anthropic.com',
  defaultModel: 'claude-sonnet-4-5',
};

export const openAiProvider: ProviderEntry & { readonly baseUrlVariable: ProviderVariableName } = {
  id: 'openai',
  title: 'OpenAI',
  dialect: 'openai',
  keyVariable: 'OPENAI_API_KEY',
  baseUrlVariable: 'OPENAI_BASE_URL',
  baseUrl: 'https://api.openai.com/v1',
  defaultModel: 'gpt-5-mini',
};

export const ollamaProvider: ProviderEntry & { readonly baseUrlVariable: ProviderVariableName } = {
  id: 'ollama',
  title: 'Ollama',
  dialect: 'openai',
  keyVariable: undefined,
  baseUrlVariable: 'OLLAMA_HOST',
  baseUrl: 'http://127.0.0.1:11434/v1',
  defaultModel: undefined,
};

function compatible(
  id: string,
  title: string,
  options: { keyVariable: ProviderVariableName; baseUrl: string; defaultModel: string },
): ProviderEntry {
  return { id, title, dialect: 'openai', ...options };
}

/** In the order in which they are tried when no model is named; Ollama, which needs no key, comes last. */
export const providerTable: readonly ProviderEntry[] = [
  anthropicProvider,
  openAiProvider,
  compatible('openrouter', 'OpenRouter', {
    keyVariable: 'OPENROUTER_API_KEY',
    baseUrl: 'https://openrouter.ai/api/v1',
    defaultModel: 'openrouter/auto',
  }),
  compatible('groq', 'Groq', {
    keyVariable: 'GROQ_API_KEY',
    baseUrl: 'https://api.groq.com/openai/v1',
    defaultModel: 'openai/gpt-oss-120b',
  }),
  compatible('mistral', 'Mistral', {
    keyVariable: 'MISTRAL_API_KEY',
    baseUrl: 'https://api.mistral.ai/v1',
    defaultModel: 'mistral-large-latest',
  }),
  compatible('deepseek', 'DeepSeek', {
    keyVariable: 'DEEPSEEK_API_KEY',
    baseUrl: 'https://api.deepseek.com/v1',
    defaultModel: 'deepseek-chat',
  }),
  compatible('together', 'Together', {
    keyVariable: 'TOGETHER_API_KEY',
    baseUrl: 'https://api.together.xyz/v1',
    defaultModel: 'meta-llama/Llama-3.3-70B-Instruct-Turbo',
  }),
  compatible('fireworks', 'Fireworks', {
    keyVariable: 'FIREWORKS_API_KEY',
    baseUrl: 'https://api.fireworks.ai/inference/v1',
    defaultModel: 'accounts/fireworks/models/llama-v3p3-70b-instruct',
  }),
  compatible('xai', 'xAI', { keyVariable: 'XAI_API_KEY', baseUrl: 'https://api.x.ai/v1', defaultModel: 'grok-4' }),
  compatible('perplexity', 'Perplexity', {
    keyVariable: 'PERPLEXITY_API_KEY',
    baseUrl: 'https://api.perplexity.ai',
    defaultModel: 'sonar-pro',
  }),
  ollamaProvider,
];
