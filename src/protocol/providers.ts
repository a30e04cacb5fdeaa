// The environment variables through which model providers are configured; configuration reads them, the gateway uses them.

/** Every variable of a model provider, in the order in which they are looked for and named in messages. */
export const providerVariableNames = [
  'LITELLM_API_BASE',
  'LITELLM_API_KEY',
  'LITELLM_DEFAULT_MODEL',
  'ANTHROPIC_API_KEY',
  'ANTHROPIC_BASE_URL',
  'OPENAI_API_KEY',
  'OPENAI_BASE_URL',
  'OPENROUTER_API_KEY',
  'GROQ_API_KEY',
  'MISTRAL_API_KEY',
  'DEEPSEEK_API_KEY',
  'TOGETHER_API_KEY',
  'FIREWORKS_API_KEY',
  'XAI_API_KEY',
  'PERPLEXITY_API_KEY',
  'OLLAMA_HOST',
] as const;
export type ProviderVariableName = (typeof providerVariableNames)[number];

/** The values of these variables that are set; an empty string counts as not set. */
export type ProviderCredentials = { readonly [Name in ProviderVariableName]?: string | undefined };
