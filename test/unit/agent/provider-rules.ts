// What OpenAI and Anthropic refuse of a conversation, looked for in the very bytes that they would get.
import { anthropicDialect } from '../../../src/gateway/dialects/anthropic.ts';
import { openAiDialect } from '../../../src/gateway/dialects/openai.ts';
import type { ModelEndpoint } from '../../../src/gateway/endpoint.ts';
import type { ModelMessage } from '../../../src/protocol/model.ts';

const endpoint: ModelEndpoint = {
  provider: 'p',
  title: 'P',
  baseUrl: '',
  wireModel: 'm',
  key: undefined,
  keyVariable: undefined,
  outputLimitField: 'max_tokens',
  firstByteTimeoutMs: 1,
};

/** `isRequest`: the model is to answer it, so that it may not end with an answer. */
export function problemAtProviders(messages: readonly ModelMessage[], isRequest: boolean): string | undefined {
  // Nothing was said before the first turn.
  if (messages.length === 0) return isRequest ? 'an empty conversation' : undefined;
  const request = { model: 'm', systemPrompt: '', messages, tools: [] };
  const openAi = openAiDialect.encode(request, endpoint, { hasUsageOption: false })['messages'];
  const anthropic = anthropicDialect.encode(request, endpoint, { hasUsageOption: false })['messages'];
  return problemAtOpenAi(openAi as OpenAiMessage[]) ?? problemAtAnthropic(anthropic as AnthropicMessage[], isRequest);
}

interface OpenAiMessage {
  readonly role: string;
  readonly tool_calls?: readonly { readonly id: string }[];
  readonly tool_call_id?: string;
}

function problemAtOpenAi(messages: readonly OpenAiMessage[]): string | undefined {
  let open = new Set<string>();
  for (const { role, tool_calls: calls, tool_call_id: answered } of messages) {
    if (role === 'tool') {
      if (!open.delete(answered ?? '')) return 'OpenAI: a result without its call';
      continue;
    }
    if (open.size > 0) return `OpenAI: ${role} before every call had its result`;
    open = new Set(calls?.map(({ id }) => id));
    if (open.size !== (calls?.length ?? 0)) return 'OpenAI: two calls with one id';
  }
  return open.size > 0 ? 'OpenAI: a call without a result' : undefined;
}

interface AnthropicMessage {
  readonly role: string;
  readonly content: readonly {
    readonly type: string;
    readonly id?: string;
    readonly tool_use_id?: string;
    readonly text?: string;
  }[];
}

function problemAtAnthropic(messages: readonly AnthropicMessage[], isRequest: boolean): string | undefined {
  if (messages[0]?.role !== 'user') return 'Anthropic: the first message is not the user’s';
  if (isRequest && messages.at(-1)?.role !== 'user')
    return 'Anthropic: the last message of a request is the model’s own';
  let open: string[] = [];
  const used = new Set<string>();
  let previous = '';
  for (const { role, content } of messages) {
    if (role === previous) return `Anthropic: two messages of the ${role} in a row`;
    previous = role;
    if (content.length === 0) return 'Anthropic: an empty message';
    if (content.some(({ type, text }) => type === 'text' && (text ?? '').trim() === '')) return 'Anthropic: empty text';
    const results = content.flatMap(({ tool_use_id: id }) => (id === undefined ? [] : [id]));
    if (JSON.stringify([...results].sort()) !== JSON.stringify([...open].sort())) {
      return 'Anthropic: the results of an answer are not those of its calls';
    }
    open = content.flatMap(({ type, id }) => (type === 'tool_use' && id !== undefined ? [id] : []));
    for (const id of open) {
      if (used.has(id)) return 'Anthropic: two calls with one id';
      used.add(id);
    }
  }
  return open.length > 0 ? 'Anthropic: a call without a result' : undefined;
}
