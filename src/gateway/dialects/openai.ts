// The dialect of OpenAI's chat completions, as OpenAI and the many servers that speak like it speak it.
import type { FinishReason, ModelMessage, ModelRequest, ToolCall, Usage } from '../../protocol/model.ts';
import { noUsage } from '../../protocol/model.ts';
import type { DecoderOptions, DecoderStep, Dialect, ModelEndpoint, StreamDecoder } from '../endpoint.ts';
import { isJsonObject, numberOf, parseJson, textOf, type JsonObject } from '../json.ts';
import { argumentsObject, createCallIds } from '../transcript.ts';

export const openAiDialect: Dialect = {
  path: '/chat/completions',
  headers: (key) => (key === undefined ? {} : { authorization: `Bearer ${key}` }),
  encode,
  createDecoder,
  splitDocument(document) {
    if (!Array.isArray(document['choices']) && !hasError(document)) return [];
    // A whole answer is one chunk with `message` in place of `delta`; everything else stands where a chunk has it.
    return [JSON.stringify(document), '[DONE]'].map((data) => ({ event: 'message', data }));
  },
};

function hasError(body: JsonObject): boolean {
  return body['error'] !== undefined && body['error'] !== null;
}

function encode(
  request: ModelRequest,
  endpoint: ModelEndpoint,
  options: { readonly hasUsageOption: boolean },
): JsonObject {
  const system = request.systemPrompt === '' ? [] : [{ role: 'system', content: request.systemPrompt }];
  return {
    model: endpoint.wireModel,
    messages: [...system, ...request.messages.map(encodeMessage)],
    stream: true,
    ...(options.hasUsageOption ? { stream_options: { include_usage: true } } : {}),
    ...(request.tools.length === 0 ? {} : { tools: request.tools.map(encodeTool) }),
    ...(request.temperature === undefined ? {} : { temperature: request.temperature }),
    ...(request.topP === undefined ? {} : { top_p: request.topP }),
    ...(request.stop === undefined || request.stop.length === 0 ? {} : { stop: request.stop }),
    ...(request.maxOutputTokens === undefined ? {} : { [endpoint.outputLimitField]: request.maxOutputTokens }),
  };
}

function encodeTool(tool: ModelRequest['tools'][number]): JsonObject {
  return {
    type: 'function',
    function: { name: tool.name, description: tool.description, parameters: tool.inputSchema },
  };
}

function encodeMessage(message: ModelMessage): JsonObject {
  switch (message.role) {
    case 'user':
      return { role: 'user', content: message.content };
    case 'tool':
      return { role: 'tool', tool_call_id: message.toolCallId, content: message.content };
    case 'assistant': {
      if (message.toolCalls.length === 0) return { role: 'assistant', content: message.content };
      const calls = message.toolCalls.map((call) => ({
        id: call.id,
        type: 'function',
        function: { name: call.name, arguments: JSON.stringify(argumentsObject(call.arguments)) },
      }));
      return { role: 'assistant', content: message.content === '' ? null : message.content, tool_calls: calls };
    }
  }
}

/** A call while its pieces arrive. */
interface OpenCall {
  readonly index: number | undefined;
  id: string;
  name: string;
  arguments: string;
}

/** What the chunks so far have said. */
interface Gathered {
  readonly calls: OpenCall[];
  content: string;
  finishReason: string | undefined;
  usage: Usage;
  costUsd: number | undefined;
  model: string | undefined;
  hasChoice: boolean;
  isDone: boolean;
}

type OnDelta = DecoderOptions['onDelta'];

function createDecoder(options: DecoderOptions): StreamDecoder {
  const gathered: Gathered = {
    calls: [],
    content: '',
    finishReason: undefined,
    usage: noUsage,
    costUsd: undefined,
    model: undefined,
    hasChoice: false,
    isDone: false,
  };
  return {
    push: (event) => takeEvent(gathered, event.data, options.onDelta),
    finish() {
      // Some servers close in good order after the finish reason and never say [DONE]; the answer is whole all the same.
      if (!gathered.isDone && gathered.finishReason === undefined) return undefined;
      const idFor = createCallIds(options.messages);
      const toolCalls = gathered.calls.map((call): ToolCall => ({
        id: idFor(call.id),
        name: call.name,
        arguments: call.arguments,
      }));
      return {
        content: gathered.content,
        toolCalls,
        thinking: [],
        finishReason: readFinishReason(gathered.finishReason, toolCalls.length),
        usage: gathered.usage,
        costUsd: gathered.costUsd,
        model: gathered.model,
      };
    },
  };
}

function takeEvent(gathered: Gathered, data: string, onDelta: OnDelta): DecoderStep {
  if (data.trim() === '[DONE]') {
    gathered.isDone = gathered.hasChoice;
    return gathered.hasChoice ? { type: 'end' } : { type: 'garbage', detail: 'an end without an answer' };
  }
  const chunk = parseJson(data);
  if (!isJsonObject(chunk)) return { type: 'garbage', detail: 'an event that is not JSON' };
  if (hasError(chunk)) return { type: 'error', body: chunk };
  gathered.model = textOf(chunk['model']) || gathered.model;
  if (isJsonObject(chunk['usage'])) {
    gathered.usage = readUsage(chunk['usage']);
    gathered.costUsd = readCost(chunk['usage']['cost']);
  }
  const choice: unknown = Array.isArray(chunk['choices']) ? chunk['choices'][0] : undefined;
  if (!isJsonObject(choice)) return { type: 'more' };
  gathered.hasChoice = true;
  const delta = choice['delta'] ?? choice['message'];
  if (isJsonObject(delta)) takeDelta(gathered, delta, onDelta);
  gathered.finishReason = textOf(choice['finish_reason']) || gathered.finishReason;
  return { type: 'more' };
}

function takeDelta(gathered: Gathered, delta: JsonObject, onDelta: OnDelta): void {
  const takeText = (text: string): void => {
    if (text === '') return;
    gathered.content += text;
    onDelta({ type: 'text', text });
  };
  const takeThinking = (text: string): void => {
    if (text !== '') onDelta({ type: 'thinking', text });
  };
  takeThinking(textOf(delta['reasoning_content']) || textOf(delta['reasoning']));
  takeText(textOf(delta['content']) + textOf(delta['refusal']));
  // Mistral's content may be a list of parts of which some are thinking.
  for (const part of objectsIn(delta['content'])) {
    if (part['type'] === 'thinking') takeThinking(textOf(part['thinking']) || textOfParts(part['thinking']));
    else takeText(textOf(part['text']));
  }
  for (const piece of objectsIn(delta['tool_calls'])) takeCallPiece(gathered.calls, piece);
}

/**
 * Adds a piece to its call. Pieces belong together by index; but some servers send whole calls all with index 0, or with
 * none, so another id begins another call, and a piece without an index goes to the last call unless it names a function.
 */
function takeCallPiece(calls: OpenCall[], piece: JsonObject): void {
  const index = typeof piece['index'] === 'number' ? piece['index'] : undefined;
  const id = textOf(piece['id']);
  const body = isJsonObject(piece['function']) ? piece['function'] : {};
  const name = textOf(body['name']);
  const candidate = index === undefined ? calls.at(-1) : calls.findLast((call) => call.index === index);
  const isAnother = candidate !== undefined && id !== '' && candidate.id !== '' && candidate.id !== id;
  const isWithoutIndex = index === undefined && name !== '';
  const isNew = candidate === undefined || isAnother || isWithoutIndex;
  const call: OpenCall = isNew ? { index, id, name: '', arguments: '' } : candidate;
  if (isNew) calls.push(call);
  if (call.id === '') call.id = id;
  if (call.name === '') call.name = name;
  // Ollama's own form has the arguments as an object.
  call.arguments += isJsonObject(body['arguments']) ? JSON.stringify(body['arguments']) : textOf(body['arguments']);
}

function textOfParts(value: unknown): string {
  return objectsIn(value)
    .map((part) => textOf(part['text']))
    .join('');
}

function objectsIn(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

function readFinishReason(reason: string | undefined, callCount: number): FinishReason {
  if (reason === 'length' || reason === 'content_filter') return reason;
  // Servers disagree about `stop` with calls and `tool_calls` without; the calls are what counts.
  return callCount > 0 ? 'tool_calls' : 'stop';
}

/** OpenRouter, and LiteLLM when it is told to, say in the usage what a call cost in US dollars. */
function readCost(cost: unknown): number | undefined {
  return typeof cost === 'number' && Number.isFinite(cost) && cost >= 0 ? cost : undefined;
}

function readUsage(usage: JsonObject): Usage {
  const details = isJsonObject(usage['prompt_tokens_details']) ? usage['prompt_tokens_details'] : {};
  return {
    inputTokens: numberOf(usage['prompt_tokens']),
    outputTokens: numberOf(usage['completion_tokens']),
    // DeepSeek has its own name for it; LiteLLM passes Anthropic's names on.
    cacheReadTokens:
      numberOf(details['cached_tokens']) ||
      numberOf(usage['prompt_cache_hit_tokens']) ||
      numberOf(usage['cache_read_input_tokens']),
    cacheWriteTokens: numberOf(usage['cache_creation_input_tokens']),
  };
}
