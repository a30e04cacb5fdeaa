// Scripted model servers over real HTTP: an OpenAI-compatible and an Anthropic one that answer from a list of replies.
import type { IncomingHttpHeaders } from 'node:http';

export interface ScriptedCall {
  readonly name: string;
  /** An object is sent as JSON; a string is sent as it is, so that it may be malformed. */
  readonly arguments: Record<string, unknown> | string;
  /** `undefined`: made by the server; `null`: the server sends none. */
  readonly id?: string | null;
}

/** What a reply has beside its kind. */
interface ReplyOptions {
  /** Pieces the text, and the arguments of each call, arrive in (3). */
  readonly chunks?: number;
  readonly delayMs?: number;
  readonly thinking?: string;
  readonly usage?: { readonly input: number; readonly output: number; readonly cacheRead?: number; readonly cacheWrite?: number };
  /** Answers with one JSON document instead of a stream. */
  readonly isWhole?: boolean;
  readonly finishReason?: string;
  /** Destroys the connection after this many bytes of the body. */
  readonly cutAfterBytes?: number;
  /** Sends nothing more after this many bytes of the body, and keeps the connection open. */
  readonly hangAfterBytes?: number;
}

export type ScriptedReply =
  | ({ readonly type: 'text'; readonly text: string } & ReplyOptions)
  | ({ readonly type: 'calls'; readonly calls: readonly ScriptedCall[]; readonly text?: string } & ReplyOptions)
  | { readonly type: 'status'; readonly status: number; readonly headers?: Record<string, string>; readonly body?: unknown }
  | { readonly type: 'raw'; readonly body: string; readonly contentType?: string }
  | { readonly type: 'hang' };

export interface RecordedRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, unknown>;
}

export interface ScriptedServer {
  /** The base URL for OPENAI_BASE_URL or ANTHROPIC_BASE_URL. */
  readonly url: string;
  readonly requests: readonly RecordedRequest[];
  /** Closes every connection; throws when the server was asked once too often. */
  stop(): Promise<void>;
}

/** A list is answered in order; a function is asked for each request with its number, from 0. */
export type Script = readonly ScriptedReply[] | ((request: RecordedRequest, index: number) => ScriptedReply);

export declare function startScriptedOpenAi(script: Script): Promise<ScriptedServer>;
export declare function startScriptedAnthropic(script: Script): Promise<ScriptedServer>;
