// Scripted model servers over real HTTP: an OpenAI-compatible and an Anthropic one that answer from a list of replies.
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';

interface ScriptedCall {
  readonly name: string;
  /** An object is sent as JSON; a string is sent as it is, so that it may be malformed. */
  readonly arguments: Record<string, unknown> | string;
  /** Absent: the server makes one. `null`: the server sends none. */
  readonly id?: string | null;
}

/** What an answer has beside its kind. */
interface AnswerOptions {
  /** Pieces that the text, the thinking and the arguments of each call arrive in (3). */
  readonly chunks?: number;
  /** Pause before each event of a stream, or before every `burst` of them. */
  readonly delayMs?: number;
  readonly burst?: number;
  /** Pause between the last event and the end of the body. */
  readonly endDelayMs?: number;
  readonly thinking?: string;
  readonly usage?: {
    readonly input: number;
    readonly output: number;
    readonly cacheRead?: number;
    readonly cacheWrite?: number;
    /** Only OpenAI's dialect has a place for it. */
    readonly costUsd?: number;
  };
  /** Answers with one JSON document instead of a stream. */
  readonly isWhole?: boolean;
  /** In the words of the dialect. */
  readonly finishReason?: string;
  /** Destroys the connection after this many bytes of the body. */
  readonly cutAfterBytes?: number;
  /** Sends nothing more after this many bytes of the body, and keeps the connection open. */
  readonly hangAfterBytes?: number;
}

export type ScriptedReply =
  | ({ readonly type: 'text'; readonly text: string } & AnswerOptions)
  | ({ readonly type: 'calls'; readonly calls: readonly ScriptedCall[]; readonly text?: string } & AnswerOptions)
  | {
      readonly type: 'status';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: unknown;
    }
  | { readonly type: 'raw'; readonly body: string; readonly contentType?: string }
  | { readonly type: 'hang' };

type Answer = Extract<ScriptedReply, { type: 'text' | 'calls' }>;

interface RecordedRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, unknown>;
  /** The client's port: the same for requests over one connection. */
  readonly remotePort: number | undefined;
  /** True once the client closed the connection before the answer was complete. */
  isAborted: boolean;
}

export interface ScriptedServer {
  /** The base URL for OPENAI_BASE_URL or ANTHROPIC_BASE_URL. */
  readonly url: string;
  readonly requests: readonly RecordedRequest[];
  /** Closes every connection; throws when the server was asked once too often, or for a path that it does not have. */
  stop(): Promise<void>;
}

/** A list is answered in order; a function is asked for each request with its number, from 0. */
export type Script = readonly ScriptedReply[] | ((request: RecordedRequest, index: number) => ScriptedReply);

export function startScriptedOpenAi(script: Script): Promise<ScriptedServer> {
  return startScripted(script, {
    path: '/v1/chat/completions',
    basePath: '/v1',
    stream: openAiStream,
    whole: openAiWhole,
  });
}

export function startScriptedAnthropic(script: Script): Promise<ScriptedServer> {
  return startScripted(script, { path: '/v1/messages', basePath: '', stream: anthropicStream, whole: anthropicWhole });
}

interface Wire {
  readonly path: string;
  readonly basePath: string;
  /** The events of an answer as text, each with its blank line. */
  readonly stream: (answer: Answer, request: RecordedRequest) => string[];
  readonly whole: (answer: Answer, request: RecordedRequest) => unknown;
}

async function startScripted(script: Script, wire: Wire): Promise<ScriptedServer> {
  const requests: RecordedRequest[] = [];
  const faults: string[] = [];

  async function handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = await record(incoming);
    response.on('close', () => {
      request.isAborted = !response.writableFinished;
    });
    if (request.path !== wire.path) {
      faults.push(`was asked for ${request.path}`);
      return sendJson(response, 404, { error: { message: `no such path: ${request.path}` } });
    }
    requests.push(request);
    const index = requests.length - 1;
    const reply = typeof script === 'function' ? script(request, index) : script[index];
    if (reply === undefined) {
      faults.push(`was asked ${requests.length} times and has ${script.length} replies`);
      return sendJson(response, 400, {
        error: { type: 'invalid_request_error', message: 'the script has no more replies' },
      });
    }
    await send(reply, request, response, wire);
  }

  const server = createServer((incoming, response) => {
    handle(incoming, response).catch((error: unknown) => {
      faults.push(String(error));
      response.destroy();
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}${wire.basePath}`,
    requests,
    async stop() {
      const closed = new Promise((resolve) => {
        server.close(resolve);
      });
      server.closeAllConnections();
      await closed;
      if (faults.length > 0) throw new Error(`The scripted model server ${faults.join(', and ')}`);
    },
  };
}

async function record(incoming: IncomingMessage): Promise<RecordedRequest> {
  let text = '';
  for await (const chunk of incoming.setEncoding('utf8')) text += chunk;
  return {
    path: incoming.url ?? '',
    headers: incoming.headers,
    body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
    remotePort: incoming.socket.remotePort,
    isAborted: false,
  };
}

async function send(
  reply: ScriptedReply,
  request: RecordedRequest,
  response: ServerResponse,
  wire: Wire,
): Promise<void> {
  switch (reply.type) {
    case 'hang':
      return;
    case 'status': {
      const isText = typeof reply.body === 'string';
      response.writeHead(reply.status, { 'content-type': isText ? 'text/html' : 'application/json', ...reply.headers });
      response.end(isText ? reply.body : JSON.stringify(reply.body ?? {}));
      return;
    }
    case 'raw':
      response.writeHead(200, { 'content-type': reply.contentType ?? 'text/event-stream' });
      response.end(reply.body);
      return;
    default:
      response.writeHead(200, { 'content-type': reply.isWhole === true ? 'application/json' : 'text/event-stream' });
      response.flushHeaders();
      await sendPieces(
        reply.isWhole === true ? [JSON.stringify(wire.whole(reply, request))] : wire.stream(reply, request),
        reply,
        response,
      );
  }
}

async function sendPieces(body: readonly string[], answer: Answer, response: ServerResponse): Promise<void> {
  const limit = answer.cutAfterBytes ?? answer.hangAfterBytes ?? Number.POSITIVE_INFINITY;
  let sent = 0;
  for (const [index, piece] of body.entries()) {
    if (answer.delayMs !== undefined && index % (answer.burst ?? 1) === 0)
      await new Promise((resolve) => setTimeout(resolve, answer.delayMs));
    if (response.destroyed) return;
    const bytes = Buffer.from(piece).subarray(0, limit - sent);
    sent += bytes.length;
    await new Promise((resolve) => response.write(bytes, resolve));
    if (sent < limit) continue;
    if (answer.cutAfterBytes !== undefined) response.destroy();
    return;
  }
  if (answer.endDelayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, answer.endDelayMs));
  response.end();
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

/** A text in so many pieces, none of them empty and none of them half a character. */
function pieces(text: string, count: number): string[] {
  const characters = Array.from(text);
  const size = Math.max(1, Math.ceil(characters.length / count));
  const result: string[] = [];
  for (let at = 0; at < characters.length; at += size) result.push(characters.slice(at, at + size).join(''));
  return result;
}

function argumentsText(call: ScriptedCall): string {
  return typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments);
}

function callsOf(answer: Answer): readonly ScriptedCall[] {
  return answer.type === 'calls' ? answer.calls : [];
}

function openAiUsage(answer: Answer): unknown {
  const { input, output, cacheRead, costUsd } = { input: 10, output: 5, cacheRead: 0, ...answer.usage };
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cacheRead },
    ...(costUsd === undefined ? {} : { cost: costUsd }),
  };
}

/** Absent from the JSON when undefined. */
function openAiId(call: ScriptedCall, index: number): string | undefined {
  return call.id === null ? undefined : (call.id ?? `call_${Math.random().toString(36).slice(2)}_${index}`);
}

function openAiFinish(answer: Answer): string {
  return answer.finishReason ?? (answer.type === 'calls' ? 'tool_calls' : 'stop');
}

function openAiStream(answer: Answer, request: RecordedRequest): string[] {
  const count = answer.chunks ?? 3;
  const base = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 0, model: request.body['model'] };
  const delta = (value: unknown, finishReason: string | null = null): string =>
    data({ ...base, choices: [{ index: 0, delta: value, finish_reason: finishReason }] });
  const calls = callsOf(answer).flatMap((call, index) => {
    const start = { name: call.name, arguments: '' };
    const rest = pieces(argumentsText(call), count).map((text) =>
      delta({ tool_calls: [{ index, function: { arguments: text } }] }),
    );
    return [delta({ tool_calls: [{ index, id: openAiId(call, index), type: 'function', function: start }] })].concat(
      rest,
    );
  });
  return [
    delta({ role: 'assistant', content: '' }),
    ...pieces(answer.thinking ?? '', count).map((text) => delta({ reasoning_content: text })),
    ...pieces(answer.text ?? '', count).map((text) => delta({ content: text })),
    ...calls,
    delta({}, openAiFinish(answer)),
    ...(request.body['stream_options'] === undefined
      ? []
      : [data({ ...base, choices: [], usage: openAiUsage(answer) })]),
    'data: [DONE]\n\n',
  ];
}

function openAiWhole(answer: Answer, request: RecordedRequest): unknown {
  const calls = callsOf(answer).map((call, index) => ({
    id: openAiId(call, index),
    type: 'function',
    function: { name: call.name, arguments: argumentsText(call) },
  }));
  const message = {
    role: 'assistant',
    content: answer.text ?? null,
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 0,
    model: request.body['model'],
    choices: [{ index: 0, message, finish_reason: openAiFinish(answer) }],
    usage: openAiUsage(answer),
  };
}

function data(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

/** The content blocks of an answer, each with its start and the deltas that fill it. */
function anthropicBlocks(
  answer: Answer,
): { start: Record<string, unknown>; deltas: Record<string, unknown>[]; whole: unknown }[] {
  const count = answer.chunks ?? 3;
  const blocks: ReturnType<typeof anthropicBlocks> = [];
  if (answer.thinking !== undefined) {
    const deltas = pieces(answer.thinking, count).map((thinking) => ({ type: 'thinking_delta', thinking }));
    const start = { type: 'thinking', thinking: '', signature: '' };
    const signature = { type: 'signature_delta', signature: 'signed' };
    blocks.push({
      start,
      deltas: [...deltas, signature],
      whole: { ...start, thinking: answer.thinking, signature: 'signed' },
    });
  }
  if (answer.text !== undefined) {
    const deltas = pieces(answer.text, count).map((text) => ({ type: 'text_delta', text }));
    blocks.push({ start: { type: 'text', text: '' }, deltas, whole: { type: 'text', text: answer.text } });
  }
  for (const [index, call] of callsOf(answer).entries()) {
    const id = call.id === null ? '' : (call.id ?? `toolu_${Math.random().toString(36).slice(2)}_${index}`);
    const start = { type: 'tool_use', id, name: call.name, input: {} };
    const deltas = pieces(argumentsText(call), count).map((text) => ({ type: 'input_json_delta', partial_json: text }));
    blocks.push({ start, deltas, whole: { ...start, input: call.arguments } });
  }
  return blocks;
}

function anthropicFinish(answer: Answer): string {
  return answer.finishReason ?? (answer.type === 'calls' ? 'tool_use' : 'end_turn');
}

/** Anthropic counts what the cache holds beside the input, so its input is the rest. */
function anthropicUsage(answer: Answer): Record<string, number> {
  const { input, output, cacheRead, cacheWrite } = {
    input: 10,
    output: 5,
    cacheRead: 0,
    cacheWrite: 0,
    ...answer.usage,
  };
  return {
    input_tokens: input - cacheRead - cacheWrite,
    output_tokens: output,
    cache_read_input_tokens: cacheRead,
    cache_creation_input_tokens: cacheWrite,
  };
}

function anthropicStream(answer: Answer, request: RecordedRequest): string[] {
  const event = (body: Record<string, unknown>): string => `event: ${String(body['type'])}\n${data(body)}`;
  const usage = anthropicUsage(answer);
  const blocks = anthropicBlocks(answer).flatMap(({ start, deltas }, index) => {
    const content = deltas.map((delta) => event({ type: 'content_block_delta', index, delta }));
    return [event({ type: 'content_block_start', index, content_block: start })].concat(
      content,
      event({ type: 'content_block_stop', index }),
    );
  });
  const head = {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    content: [],
    model: request.body['model'],
    stop_reason: null,
  };
  return [
    event({ type: 'message_start', message: { ...head, usage: { ...usage, output_tokens: 1 } } }),
    event({ type: 'ping' }),
    ...blocks,
    event({
      type: 'message_delta',
      delta: { stop_reason: anthropicFinish(answer), stop_sequence: null },
      usage: { output_tokens: usage['output_tokens'] },
    }),
    event({ type: 'message_stop' }),
  ];
}

function anthropicWhole(answer: Answer, request: RecordedRequest): unknown {
  return {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: request.body['model'],
    content: anthropicBlocks(answer).map(({ whole }) => whole),
    stop_reason: anthropicFinish(answer),
    usage: anthropicUsage(answer),
  };
}
