// The dialect of Anthropic's messages API.
import type { FinishReason, ModelMessage, ModelRequest, ThinkingBlock, ToolCall, Usage } from '../../protocol/model.ts';
import type { DecoderOptions, DecoderStep, Dialect, ModelEndpoint, StreamDecoder } from '../endpoint.ts';
import { isJsonObject, numberOf, parseJson, textOf, type JsonObject } from '../json.ts';
import type { ServerSentEvent } from '../../lib/sse.ts';
import { argumentsObject, createCallIds } from '../transcript.ts';

/** The API wants a maximum; this is the largest that every model since Claude 3.5 accepts. */
const outputTokensDefault = 8_192;
const apiVersion = '2023-06-01';
/** A cache entry of five minutes, which every turn of a running agent renews. */
const cacheControl = { cache_control: { type: 'ephemeral' } };

export const anthropicDialect: Dialect = {
  path: '/v1/messages',
  headers: (key) => ({ 'anthropic-version': apiVersion, ...(key === undefined ? {} : { 'x-api-key': key }) }),
  encode,
  createDecoder,
  splitDocument,
};

function encode(request: ModelRequest, endpoint: ModelEndpoint): JsonObject {
  return {
    model: endpoint.wireModel,
    max_tokens: request.maxOutputTokens ?? outputTokensDefault,
    stream: true,
    ...(request.systemPrompt === '' ? {} : { system: [{ type: 'text', text: request.systemPrompt, ...cacheControl }] }),
    messages: encodeMessages(request.messages),
    ...(request.tools.length === 0 ? {} : { tools: request.tools.map(encodeTool) }),
    ...(request.temperature === undefined ? {} : { temperature: request.temperature }),
    ...(request.topP === undefined ? {} : { top_p: request.topP }),
    ...(request.stop === undefined || request.stop.length === 0 ? {} : { stop_sequences: request.stop }),
  };
}

function encodeTool(tool: ModelRequest['tools'][number]): JsonObject {
  return { name: tool.name, description: tool.description, input_schema: tool.inputSchema };
}

interface WireMessage {
  readonly role: 'user' | 'assistant';
  readonly content: JsonObject[];
}

/** Messages with alternating roles, as the API wants them: neighbours of one role become one message of several blocks. */
function encodeMessages(messages: readonly ModelMessage[]): WireMessage[] {
  const wire: WireMessage[] = [];
  for (const message of messages) {
    const role = message.role === 'assistant' ? 'assistant' : 'user';
    const content = encodeBlocks(message);
    const last = wire.at(-1);
    if (last?.role === role) last.content.push(...content);
    else if (content.length > 0) wire.push({ role, content });
  }
  const lastBlock = wire.at(-1)?.content.at(-1);
  // Thinking cannot carry the mark, and is never last in a transcript that waits for an answer.
  if (lastBlock !== undefined) Object.assign(lastBlock, cacheControl);
  return wire;
}

/** The API refuses text without a visible character, and ids with other characters than these. */
function encodeBlocks(message: ModelMessage): JsonObject[] {
  switch (message.role) {
    case 'user':
      return [{ type: 'text', text: message.content.trim() === '' ? '(no text)' : message.content }];
    case 'tool': {
      const content = message.content.trim() === '' ? {} : { content: message.content };
      const error = message.isError ? { is_error: true } : {};
      return [{ type: 'tool_result', tool_use_id: wireId(message.toolCallId), ...content, ...error }];
    }
    case 'assistant':
      return [
        ...(message.thinking ?? []).flatMap(encodeThinking),
        ...(message.content.trim() === '' ? [] : [{ type: 'text', text: message.content }]),
        ...message.toolCalls.map((call) => ({
          type: 'tool_use',
          id: wireId(call.id),
          name: call.name,
          input: argumentsObject(call.arguments),
        })),
      ];
  }
}

/** Only what Anthropic signed may come back to it. */
function encodeThinking(block: ThinkingBlock): JsonObject[] {
  if (block.redacted !== undefined) return [{ type: 'redacted_thinking', data: block.redacted }];
  return block.signature === undefined ? [] : [{ type: 'thinking', thinking: block.text, signature: block.signature }];
}

function wireId(id: string): string {
  return id.replace(/[^\w-]/g, '_');
}

/** A content block while its pieces arrive. */
interface OpenBlock {
  readonly type: string;
  readonly id: string;
  readonly name: string;
  /** Text, thinking, or the JSON of a call's input. */
  text: string;
  signature: string;
  readonly redacted: string;
}

/** What the events so far have said. */
interface Gathered {
  readonly blocks: Map<number, OpenBlock>;
  usage: JsonObject;
  stopReason: string | undefined;
  model: string | undefined;
  isStopped: boolean;
}

type OnDelta = DecoderOptions['onDelta'];

function createDecoder(options: DecoderOptions): StreamDecoder {
  const gathered: Gathered = {
    blocks: new Map(),
    usage: {},
    stopReason: undefined,
    model: undefined,
    isStopped: false,
  };
  return {
    push(event) {
      const body = parseJson(event.data);
      if (!isJsonObject(body)) return { type: 'garbage', detail: 'an event that is not JSON' };
      return takeEvent(gathered, body, options.onDelta);
    },
    finish() {
      if (!gathered.isStopped) return undefined;
      const blocks = [...gathered.blocks.values()];
      const idFor = createCallIds(options.messages);
      const toolCalls = blocks
        .filter((block) => block.type === 'tool_use')
        .map((block): ToolCall => ({ id: idFor(block.id), name: block.name, arguments: block.text || '{}' }));
      return {
        content: blocks.map((block) => (block.type === 'text' ? block.text : '')).join(''),
        toolCalls,
        thinking: blocks.flatMap(readThinking),
        finishReason: readStopReason(gathered.stopReason, toolCalls.length),
        usage: readUsage(gathered.usage),
        model: gathered.model,
      };
    },
  };
}

function takeEvent(gathered: Gathered, body: JsonObject, onDelta: OnDelta): DecoderStep {
  const index = numberOf(body['index']);
  switch (body['type']) {
    case 'error':
      return { type: 'error', body };
    case 'message_start': {
      const message = isJsonObject(body['message']) ? body['message'] : {};
      gathered.model = textOf(message['model']) || undefined;
      if (isJsonObject(message['usage'])) gathered.usage = message['usage'];
      break;
    }
    case 'content_block_start':
      if (isJsonObject(body['content_block'])) {
        gathered.blocks.set(index, startBlock(body['content_block'], onDelta));
      }
      break;
    case 'content_block_delta': {
      const block = gathered.blocks.get(index);
      if (block === undefined) return { type: 'garbage', detail: 'a piece of a block that it had not begun' };
      if (isJsonObject(body['delta'])) takeDelta(block, body['delta'], onDelta);
      break;
    }
    case 'message_delta':
      if (isJsonObject(body['delta']))
        gathered.stopReason = textOf(body['delta']['stop_reason']) || gathered.stopReason;
      // Counts are totals, and those that stand here are the later ones.
      if (isJsonObject(body['usage'])) gathered.usage = { ...gathered.usage, ...withoutNulls(body['usage']) };
      break;
    case 'message_stop':
      gathered.isStopped = true;
      return { type: 'end' };
    default:
    // `ping`, `content_block_stop` and what the API adds later.
  }
  return { type: 'more' };
}

function startBlock(start: JsonObject, onDelta: OnDelta): OpenBlock {
  const block: OpenBlock = {
    type: textOf(start['type']),
    id: textOf(start['id']),
    name: textOf(start['name']),
    text: '',
    signature: textOf(start['signature']),
    redacted: textOf(start['data']),
  };
  // A block begins empty, except from a server that has it whole at once.
  const input =
    isJsonObject(start['input']) && Object.keys(start['input']).length > 0 ? JSON.stringify(start['input']) : '';
  takePiece(block, textOf(start['text']) || textOf(start['thinking']) || input, onDelta);
  return block;
}

function takeDelta(block: OpenBlock, delta: JsonObject, onDelta: OnDelta): void {
  // A delta has one of these, by its type; citations and what the API adds later have none.
  takePiece(block, textOf(delta['text']) || textOf(delta['thinking']) || textOf(delta['partial_json']), onDelta);
  block.signature += textOf(delta['signature']);
}

function takePiece(block: OpenBlock, text: string, onDelta: OnDelta): void {
  if (text === '') return;
  block.text += text;
  if (block.type === 'text' || block.type === 'thinking') onDelta({ type: block.type, text });
}

function readThinking(block: OpenBlock): ThinkingBlock[] {
  if (block.type === 'redacted_thinking') return [{ text: '', redacted: block.redacted }];
  if (block.type !== 'thinking') return [];
  return [{ text: block.text, ...(block.signature === '' ? {} : { signature: block.signature }) }];
}

function readStopReason(reason: string | undefined, callCount: number): FinishReason {
  switch (reason) {
    case 'max_tokens':
    case 'model_context_window_exceeded':
      return 'length';
    case 'refusal':
      return 'content_filter';
    default:
      return callCount > 0 ? 'tool_calls' : 'stop';
  }
}

/** Anthropic counts the cached tokens beside the input; ours are part of it. */
function readUsage(usage: JsonObject): Usage {
  const cacheReadTokens = numberOf(usage['cache_read_input_tokens']);
  const cacheWriteTokens = numberOf(usage['cache_creation_input_tokens']);
  return {
    inputTokens: numberOf(usage['input_tokens']) + cacheReadTokens + cacheWriteTokens,
    outputTokens: numberOf(usage['output_tokens']),
    cacheReadTokens,
    cacheWriteTokens,
  };
}

function withoutNulls(value: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== null));
}

function splitDocument(document: JsonObject): ServerSentEvent[] {
  const event = (body: JsonObject): ServerSentEvent => ({ event: textOf(body['type']), data: JSON.stringify(body) });
  if (document['type'] === 'error') return [event(document)];
  if (!Array.isArray(document['content'])) return [];
  return [
    event({ type: 'message_start', message: document }),
    ...document['content'].map((block: unknown, index) =>
      event({ type: 'content_block_start', index, content_block: block }),
    ),
    event({ type: 'message_delta', delta: { stop_reason: document['stop_reason'] } }),
    event({ type: 'message_stop' }),
  ];
}
