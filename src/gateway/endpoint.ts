// Where a model is reached and how it is called there: what the providers' table, the dialects and the client share.
import type {
  FinishReason,
  ModelDelta,
  ModelMessage,
  ModelRequest,
  ToolCall,
  ThinkingBlock,
  Usage,
} from '../protocol/model.ts';
import type { ProviderVariableName } from '../protocol/providers.ts';
import type { JsonObject } from './json.ts';
import type { ServerSentEvent } from '../lib/sse.ts';

/** One model at one provider, ready to be called. */
export interface ModelEndpoint {
  /** `openai`, `anthropic`, `ollama`, …: the id of the provider. */
  readonly provider: string;
  /** The provider as people write it, for messages. */
  readonly title: string;
  /** The URL that the dialect's path is appended to, without a slash at its end. */
  readonly baseUrl: string;
  /** The model's name on the wire. */
  readonly wireModel: string;
  readonly key: string | undefined;
  /** The variable that holds the key, for messages. */
  readonly keyVariable: ProviderVariableName | undefined;
  /** Some endpoints want `max_completion_tokens` in place of `max_tokens`. */
  readonly outputLimitField: 'max_tokens' | 'max_completion_tokens';
  readonly firstByteTimeoutMs: number;
}

/** What the decoder of a stream has gathered, whatever the dialect. */
export interface DecodedAnswer {
  readonly content: string;
  readonly toolCalls: ToolCall[];
  readonly thinking: ThinkingBlock[];
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  readonly costUsd?: number | undefined;
  readonly model: string | undefined;
}

/** `more`: go on reading. `end`: the answer is complete. `error`: the provider reported one inside the stream. */
export type DecoderStep =
  | { readonly type: 'more' }
  | { readonly type: 'end' }
  | { readonly type: 'error'; readonly body: unknown }
  | { readonly type: 'garbage'; readonly detail: string };

export interface StreamDecoder {
  push(event: ServerSentEvent): DecoderStep;
  /** The answer, or undefined while the stream has not said that it is complete. */
  finish(): DecodedAnswer | undefined;
}

/** What a decoder needs to know of its request. */
export interface DecoderOptions {
  readonly messages: readonly ModelMessage[];
  readonly onDelta: (delta: ModelDelta) => void;
}

/** A wire protocol: canonical request → HTTP body, and the answer's stream or document → deltas and the answer. */
export interface Dialect {
  readonly path: string;
  headers(key: string | undefined): Record<string, string>;
  /** `hasUsageOption`: ask for the usage of a stream, which some servers refuse by name. */
  encode(request: ModelRequest, endpoint: ModelEndpoint, options: { readonly hasUsageOption: boolean }): JsonObject;
  createDecoder(options: DecoderOptions): StreamDecoder;
  /**
   * For a server that answers a stream request with one JSON document: the same facts as events of the stream; none when
   * the document is neither an answer nor an error.
   */
  splitDocument(document: JsonObject): ServerSentEvent[];
}
