// Serves a GGUF model as OpenAI chat completions: small-model-server.ts <runtime directory> <weights>. One request at a time.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The part of node-llama-cpp that is used here; it lies in the cache, where no type checker finds it. */
interface Runtime {
  getLlama: (options: object) => Promise<{
    loadModel(options: object): Promise<{ createContext(options: object): Promise<{ getSequence(): Sequence }> }>;
    createGrammarForJsonSchema(schema: object): Promise<object>;
  }>;
  LlamaChatSession: new (options: object) => {
    setChatHistory(turns: readonly Turn[]): void;
    prompt(text: string, options: object): Promise<string>;
    dispose(options: object): void;
  };
}
interface Sequence {
  clearHistory(): Promise<void>;
  readonly tokenMeter: {
    getState(): object;
    diff(before: object): { usedInputTokens: number; usedOutputTokens: number };
  };
}
type Turn = { type: 'system' | 'user'; text: string } | { type: 'model'; response: string[] };

interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string | null;
  tool_calls?: { function: { name: string; arguments: string } }[];
}
interface ToolFunction {
  name: string;
  parameters: { properties?: Record<string, object>; required?: string[] };
}
interface Body {
  model: string;
  messages: Message[];
  tools?: { function: ToolFunction }[];
  max_tokens?: number;
}
interface Generated {
  call: { name: string; arguments: object } | undefined;
  usage: { prompt_tokens: number; completion_tokens: number };
}

const [runtimeDirectory = '', modelPath = ''] = process.argv.slice(2);
const entry = createRequire(join(runtimeDirectory, 'package.json')).resolve('node-llama-cpp');
const { getLlama, LlamaChatSession } = (await import(pathToFileURL(entry).href)) as Runtime;
// One thread: more of them wait for each other in spin loops, which a busy machine turns into minutes.
const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, maxThreads: 1, logLevel: 'error' });
const model = await llama.loadModel({ modelPath });
const contextSequence = (await model.createContext({ contextSize: 2048, threads: 1 })).getSequence();

/**
 * Answers the last message. A question with tools is answered by a call of one of them, held to its form by a grammar,
 * whatever tool_choice says: 135 million parameters do not choose. The result of a call is answered in words.
 */
async function generate(body: Body, onText: (text: string) => void, signal: AbortSignal): Promise<Generated> {
  const tools = (body.tools ?? []).map((tool) => tool.function);
  const isForced = tools.length > 0 && body.messages.at(-1)?.role === 'user';
  const system = body.messages.flatMap((message) => (message.role === 'system' ? [message.content ?? ''] : []));
  if (isForced) system.push('You can call these tools, one per answer, as JSON {"name": ..., "arguments": {...}}:');
  if (isForced) system.push(...tools.map((tool) => JSON.stringify(tool)));
  const shapes = tools.map((tool) => ({
    type: 'object',
    properties: { name: { const: tool.name }, arguments: smallSchema(tool) },
  }));
  const grammar = isForced ? await llama.createGrammarForJsonSchema({ oneOf: shapes }) : undefined;
  await contextSequence.clearHistory();
  const session = new LlamaChatSession({ contextSequence, autoDisposeSequence: false });
  const turns = body.messages.filter((message) => message.role !== 'system');
  const question = turns.pop();
  session.setChatHistory([{ type: 'system', text: system.join('\n') }, ...turns.map(toTurn)]);
  const before = contextSequence.tokenMeter.getState();
  const text = await session.prompt(textOf(question), {
    maxTokens: body.max_tokens ?? 128,
    temperature: 0,
    grammar,
    signal,
    stopOnAbortSignal: true,
    onTextChunk: isForced ? undefined : onText,
  });
  const used = contextSequence.tokenMeter.diff(before);
  session.dispose({ disposeSequence: false });
  return {
    call: isForced ? (JSON.parse(text) as Generated['call']) : undefined,
    usage: { prompt_tokens: used.usedInputTokens, completion_tokens: used.usedOutputTokens },
  };
}

/** The required parameters, else the first: the grammar would make the model fill in every optional one. */
function smallSchema({ parameters }: ToolFunction): object {
  const all = Object.entries(parameters.properties ?? {});
  const required = all.filter(([name]) => parameters.required?.includes(name));
  return { type: 'object', properties: Object.fromEntries(required.length > 0 ? required : all.slice(0, 1)) };
}

function textOf(message: Message | undefined): string {
  return message?.role === 'tool' ? `The tool answered:\n${message.content ?? ''}` : (message?.content ?? '');
}

function toTurn(message: Message): Turn {
  if (message.role !== 'assistant') return { type: 'user', text: textOf(message) };
  const calls = (message.tool_calls ?? []).map((call) => call.function);
  return { type: 'model', response: [message.content ?? JSON.stringify(calls)] };
}

let callCount = 0;
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += String(chunk);
  const body = JSON.parse(text) as Body;
  const aborted = new AbortController();
  response.on('close', () => aborted.abort());
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const send = (value: object): void => {
    response.write(`data: ${JSON.stringify({ object: 'chat.completion.chunk', model: body.model, ...value })}\n\n`);
  };
  const sendDelta = (delta: object, finish_reason: string | null = null): void =>
    send({ choices: [{ index: 0, delta, finish_reason }] });
  const { call, usage } = await generate(body, (content) => sendDelta({ content }), aborted.signal);
  if (call !== undefined) {
    callCount += 1;
    const made = { name: call.name, arguments: JSON.stringify(call.arguments) };
    sendDelta({ tool_calls: [{ index: 0, id: `call_${callCount}`, type: 'function', function: made }] });
  }
  sendDelta({}, call === undefined ? 'stop' : 'tool_calls');
  send({ choices: [], usage });
  response.end('data: [DONE]\n\n');
}

let queue = Promise.resolve();
const server = createServer((request, response) => {
  queue = queue
    .then(() => answer(request, response))
    .catch((error: unknown) => {
      console.error(error);
      response.destroy();
    });
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(`listening ${typeof address === 'object' && address !== null ? address.port : 0}`);
});
// Whoever started us holds our input; when it is gone, however it went, nobody needs us.
process.stdin.on('end', () => process.exit(0)).resume();
