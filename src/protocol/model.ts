// The canonical language-model request, stream and result: what the agent speaks and every provider dialect is translated to.
import * as v from 'valibot';

/** A tool call as the model made it. `arguments` is the raw JSON text, which may be malformed: the tool layer judges it. */
export const toolCallSchema = v.object({ id: v.string(), name: v.string(), arguments: v.string() });
export type ToolCall = v.InferOutput<typeof toolCallSchema>;

/** A reasoning block that a provider wants back unchanged in the next request (Anthropic's signed thinking). */
export const thinkingBlockSchema = v.object({
  text: v.string(),
  signature: v.optional(v.string()),
  redacted: v.optional(v.string()),
});
export type ThinkingBlock = v.InferOutput<typeof thinkingBlockSchema>;

export const modelMessageSchema = v.variant('role', [
  v.object({ role: v.literal('user'), content: v.string() }),
  v.object({
    role: v.literal('assistant'),
    content: v.string(),
    toolCalls: v.array(toolCallSchema),
    thinking: v.optional(v.array(thinkingBlockSchema)),
  }),
  v.object({
    role: v.literal('tool'),
    toolCallId: v.string(),
    name: v.string(),
    content: v.string(),
    isError: v.boolean(),
  }),
]);
export type ModelMessage = v.InferOutput<typeof modelMessageSchema>;
export type AssistantMessage = Extract<ModelMessage, { role: 'assistant' }>;

/** A tool as the model sees it; `inputSchema` is a JSON Schema object passed through unchanged. */
export const toolSpecSchema = v.object({
  name: v.string(),
  description: v.string(),
  inputSchema: v.record(v.string(), v.unknown()),
});
export type ToolSpec = v.InferOutput<typeof toolSpecSchema>;

export interface ModelRequest {
  /** The model id as configured, e.g. `kubiya/offline`, `openai/gpt-5`, `claude-sonnet-4-5`, `ollama/llama3`. */
  readonly model: string;
  readonly systemPrompt: string;
  readonly messages: readonly ModelMessage[];
  readonly tools: readonly ToolSpec[];
  readonly temperature?: number | undefined;
  readonly maxOutputTokens?: number | undefined;
  readonly topP?: number | undefined;
  readonly stop?: readonly string[] | undefined;
}

export const usageSchema = v.object({
  /** Every token of the prompt; those read from and written to the provider's cache are part of it. */
  inputTokens: v.number(),
  outputTokens: v.number(),
  cacheReadTokens: v.number(),
  cacheWriteTokens: v.number(),
});
export type Usage = v.InferOutput<typeof usageSchema>;
export const noUsage: Usage = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 };

/** What arrives while the model answers, in order. Tool calls are only in the result: half a call is of no use to anyone. */
export type ModelDelta =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'thinking'; readonly text: string };

export type FinishReason = 'stop' | 'tool_calls' | 'length' | 'content_filter';

export interface ModelResult {
  readonly message: AssistantMessage;
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  /** The model that answered, as the provider named it. */
  readonly model: string;
  /** Wall time from the request to the end of the answer and to the first delta, in milliseconds. */
  readonly durationMs: number;
  readonly firstDeltaMs?: number | undefined;
  /** What the provider says that the call cost, in US dollars; few say it. */
  readonly costUsd?: number | undefined;
  /**
   * Only from `kubiya/offline`, with its final answer: `failed` means that the execution must end as failed although the
   * call itself went well. Language models give no verdict.
   */
  readonly verdict?: 'succeeded' | 'failed' | undefined;
}

/** Why a model call failed. Whether it may be tried again follows from the kind alone (see `isRetryableFailure`). */
export type ModelFailureKind =
  | 'rate_limited' // 429
  | 'overloaded' // 5xx, 529
  | 'timeout' // no answer, or the stream stalled
  | 'network' // refused, reset, DNS
  | 'cut_stream' // the stream ended before its end mark
  | 'bad_response' // the provider sent something that is not its protocol
  | 'authentication' // 401, 403
  | 'invalid_request' // 400, 404, 422
  | 'context_overflow' // the prompt is larger than the model's window
  | 'cancelled'; // our own signal

export interface ModelFailure {
  readonly kind: ModelFailureKind;
  /** One sentence for the user; never holds a key. */
  readonly message: string;
  readonly status?: number | undefined;
  /** From Retry-After, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
}

export function isRetryableFailure(kind: ModelFailureKind): boolean {
  switch (kind) {
    case 'rate_limited':
    case 'overloaded':
    case 'timeout':
    case 'network':
    case 'cut_stream':
    case 'bad_response':
      return true;
    case 'authentication':
    case 'invalid_request':
    case 'context_overflow':
    case 'cancelled':
      return false;
  }
}

export type ModelOutcome =
  | { readonly ok: true; readonly result: ModelResult; readonly traffic?: ModelTraffic | undefined }
  | { readonly ok: false; readonly failure: ModelFailure; readonly traffic?: ModelTraffic | undefined };

/** Bytes of the HTTP bodies, unpacked, without headers. */
export interface ModelTraffic {
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** The seam between the agent and every model. `complete` makes one attempt and never throws for a provider's failure. */
export interface ModelClient {
  complete(request: ModelRequest, onDelta: (delta: ModelDelta) => void, signal: AbortSignal): Promise<ModelOutcome>;
}
