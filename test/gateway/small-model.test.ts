// Our client against a real language model: real tokens, a real stream, a real tool call.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { resolveModel } from '../../src/gateway/providers.ts';
import type { ModelMessage, ModelRequest, ModelResult } from '../../src/protocol/model.ts';
import { startSmallModel, type SmallModel } from '../support/small-model.ts';

/** The download, which happens once in a checkout, is not part of the 60 s that the model itself may take. */
const installTimeoutMs = 300_000;
const testTimeoutMs = 30_000;

let model: SmallModel | undefined;
beforeAll(async () => {
  model = await startSmallModel();
}, installTimeoutMs);
afterAll(() => model?.stop());

async function ask(parts: Partial<ModelRequest>): Promise<{ result: ModelResult; pieces: string[] }> {
  const { client } = resolveModel('openai/smollm2-135m', { OPENAI_BASE_URL: model?.url });
  const pieces: string[] = [];
  const request = {
    model: 'openai/smollm2-135m',
    systemPrompt: 'You are a helpful assistant.',
    messages: [],
    tools: [],
    ...parts,
  };
  const outcome = await client.complete(
    request,
    (delta) => pieces.push(delta.text),
    AbortSignal.timeout(testTimeoutMs),
  );
  if (!outcome.ok) throw new Error(outcome.failure.message);
  return { result: outcome.result, pieces };
}

test(
  'streams real tokens',
  async () => {
    const { result, pieces } = await ask({
      messages: [{ role: 'user', content: 'What is gravity?' }],
      maxOutputTokens: 40,
    });
    expect(result.message.content).toMatch(/\b(?:force|gravity)\b/i);
    expect(pieces.length).toBeGreaterThan(3);
    expect(pieces.join('')).toBe(result.message.content);
    expect(result.usage.outputTokens).toBeGreaterThanOrEqual(pieces.length);
    expect(result.usage.inputTokens).toBeGreaterThan(10);
    expect(result.firstDeltaMs).toBeLessThan(result.durationMs);
  },
  testTimeoutMs,
);

test(
  'calls a tool and reads its result',
  async () => {
    const parameters = { type: 'object', properties: { command: { type: 'string' }, tail: { type: 'integer' } } };
    const tools = [{ name: 'run_shell_command', description: 'Run a shell command', inputSchema: parameters }];
    const question: ModelMessage = { role: 'user', content: 'List the files in the current directory.' };
    const { result } = await ask({ messages: [question], tools });
    expect(result.finishReason).toBe('tool_calls');
    const made = result.message.toolCalls[0];
    expect(made?.name).toBe('run_shell_command');
    expect(JSON.parse(made?.arguments ?? '')).toEqual({ command: expect.stringMatching(/^ls\b/) });
    const content = 'README.md\nsrc';
    const toolResult: ModelMessage = {
      role: 'tool',
      toolCallId: made?.id ?? '',
      name: 'run_shell_command',
      content,
      isError: false,
    };
    const answer = await ask({ messages: [question, result.message, toolResult], tools, maxOutputTokens: 40 });
    expect(answer.result.message.toolCalls).toEqual([]);
    expect(answer.result.message.content.length).toBeGreaterThan(5);
  },
  testTimeoutMs,
);
