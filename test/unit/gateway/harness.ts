// Calls the real client against a scripted server, for the tests of this folder.
import { createHttpModelClient } from '../../../src/gateway/client.ts';
import { anthropicDialect } from '../../../src/gateway/dialects/anthropic.ts';
import { openAiDialect } from '../../../src/gateway/dialects/openai.ts';
import type { Dialect, ModelEndpoint } from '../../../src/gateway/endpoint.ts';
import type {
  ModelClient,
  ModelDelta,
  ModelFailure,
  ModelMessage,
  ModelOutcome,
  ModelRequest,
  ModelResult,
} from '../../../src/protocol/model.ts';
import {
  startScriptedAnthropic,
  startScriptedOpenAi,
  type Script,
  type ScriptedServer,
} from '../../support/model-servers.ts';

export const testKey = 'sk-test-0123456789abcdef';

/** Both dialects with what differs in a test that is the same for both. */
export const dialects = [
  { name: 'openai', dialect: openAiDialect, start: startScriptedOpenAi },
  { name: 'anthropic', dialect: anthropicDialect, start: startScriptedAnthropic },
] as const;

export function requestOf(parts: Partial<ModelRequest> = {}): ModelRequest {
  return { model: 'test/model-1', systemPrompt: 'Be brief', messages: [userMessage('Hello')], tools: [], ...parts };
}

export function userMessage(content: string): ModelMessage {
  return { role: 'user', content };
}

export const shellTool = {
  name: 'run_shell_command',
  description: 'Runs a command',
  inputSchema: { type: 'object', properties: { command: { type: 'string' } }, required: ['command'] },
};

export function endpointAt(baseUrl: string, parts: Partial<ModelEndpoint> = {}): ModelEndpoint {
  return {
    provider: 'test',
    title: 'Testing Inc',
    baseUrl,
    wireModel: 'model-1',
    key: testKey,
    keyVariable: 'OPENAI_API_KEY',
    outputLimitField: 'max_tokens',
    firstByteTimeoutMs: 2_000,
    ...parts,
  };
}

export function clientAt(
  dialect: Dialect,
  url: string,
  limits: { firstByteMs?: number; idleMs?: number } = {},
): ModelClient {
  const endpoint = endpointAt(url, { firstByteTimeoutMs: limits.firstByteMs ?? 2_000 });
  return createHttpModelClient({ dialect, endpoint, idleTimeoutMs: limits.idleMs ?? 2_000 });
}

interface Called {
  readonly outcome: ModelOutcome;
  readonly deltas: readonly ModelDelta[];
}

export async function call(
  client: ModelClient,
  request: ModelRequest = requestOf(),
  signal: AbortSignal = new AbortController().signal,
): Promise<Called> {
  const deltas: ModelDelta[] = [];
  const outcome = await client.complete(request, (delta) => deltas.push(delta), signal);
  return { outcome, deltas };
}

export function resultOf({ outcome }: Called): ModelResult {
  if (!outcome.ok) throw new Error(`The call failed: ${outcome.failure.kind}: ${outcome.failure.message}`);
  return outcome.result;
}

export function failureOf({ outcome }: Called): ModelFailure {
  if (outcome.ok) throw new Error('The call succeeded');
  return outcome.failure;
}

export function textOf(called: Called, type: ModelDelta['type'] = 'text'): string {
  return called.deltas
    .filter((delta) => delta.type === type)
    .map((delta) => delta.text)
    .join('');
}

/** Runs a body with a scripted server and stops it, which fails when it was asked too often. */
export async function withServer<T>(
  start: (script: Script) => Promise<ScriptedServer>,
  script: Script,
  body: (server: ScriptedServer) => Promise<T>,
): Promise<T> {
  const server = await start(script);
  let result: T;
  try {
    result = await body(server);
  } catch (error) {
    await server.stop().catch(() => undefined);
    throw error;
  }
  await server.stop();
  return result;
}
