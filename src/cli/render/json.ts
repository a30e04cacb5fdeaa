// Prints an execution as one JSON object per line on stdout.
import type { FollowedEvent } from '../../controlplane/followed-event.ts';
import type { StreamLine } from '../../protocol/events.ts';
import { jsonText, type Output } from '../output.ts';
import type { Renderer } from './renderer.ts';

type LineBody = { readonly type: StreamLine['type'] } & Readonly<Record<string, unknown>>;

export function createJsonRenderer(output: Output, executionId: string): Renderer {
  const write = (body: LineBody, timestamp: string): Promise<void> => {
    const { type, ...rest } = body;
    return output.stdout.write(
      `${jsonText({ type, timestamp, execution_id: executionId, ...rest } satisfies StreamLine)}\n`,
    );
  };
  const now = (): string => new Date().toISOString();
  let isConnected = false;
  return {
    event: async (event) => {
      if (!isConnected) await write({ type: 'connected' }, event.timestamp);
      isConnected = true;
      const body = bodyOf(event);
      if (body !== undefined) await write(body, event.timestamp);
    },
    pause: () => Promise.resolve(),
    notice: (message) => write({ type: 'notice', notice: { message } }, now()),
    finish: (outcome) =>
      write(
        {
          type: 'done',
          status: outcome.status,
          response: outcome.response,
          duration_ms: outcome.durationMs,
          usage: outcome.usage,
          ...(outcome.costUsd === undefined ? {} : { cost_usd: outcome.costUsd }),
          ...(outcome.error === undefined ? {} : { error: outcome.error }),
          ...(outcome.hint === undefined ? {} : { hint: outcome.hint }),
        },
        now(),
      ),
  };
}

/** Undefined for events that are the stream's own business; `done` is printed from the outcome. */
function bodyOf({ type, data }: FollowedEvent): LineBody | undefined {
  switch (type) {
    case 'message':
      return { type, message: { role: data['role'], content: data['content'], message_id: data['message_id'] } };
    case 'message_chunk':
      return {
        type,
        message: {
          role: data['role'] ?? 'assistant',
          content: data['content'],
          chunk: true,
          message_id: data['message_id'],
        },
      };
    case 'thinking_delta':
      return { type: 'thinking', thinking: { content: data['thinking'], message_id: data['message_id'] } };
    case 'tool_started':
      return {
        type,
        tool: {
          id: data['tool_execution_id'],
          name: data['tool_name'],
          inputs: data['tool_arguments'] ?? data['tool_input'] ?? {},
        },
      };
    case 'tool_output':
      return { type, tool: { id: data['tool_execution_id'], outputs: data['content'] } };
    case 'tool_completed':
      return { type, tool: toolResult(data) };
    case 'status':
      return { type, status: { state: lowerCase(data['status']), reason: data['reason'] } };
    case 'retry':
      return {
        type,
        retry: {
          message_id: data['message_id'],
          attempt: data['attempt'],
          reason: data['reason'],
          delay_ms: data['delay_ms'],
        },
      };
    case 'notice':
      return { type, notice: { message: data['message'], code: data['code'] } };
    case 'error':
      return {
        type,
        error: {
          message: data['error'],
          code: data['error_type'],
          hint: data['hint'],
          recoverable: data['retryable'] ?? false,
        },
      };
    default:
      return undefined;
  }
}

function toolResult(data: FollowedEvent['data']): Record<string, unknown> {
  const durationMs = data['duration_ms'];
  return {
    id: data['tool_execution_id'],
    name: data['tool_name'],
    success: data['status'] === 'success',
    outcome: data['outcome'],
    outputs: data['tool_output'],
    error: data['tool_error'] ?? data['error'] ?? undefined,
    ...(typeof durationMs === 'number' ? { duration_seconds: durationMs / 1000, duration_ms: durationMs } : {}),
    truncated: data['truncated'],
  };
}

function lowerCase(value: unknown): unknown {
  return typeof value === 'string' ? value.toLowerCase() : value;
}
