// Prints an execution as one JSON object per line on stdout.
import type { FollowedEvent } from '../../controlplane/followed-event.ts';
import type { StreamLine } from '../../protocol/events.ts';
import { jsonText, type Output } from '../output.ts';
import type { Renderer } from './renderer.ts';

type LineBody = { readonly type: StreamLine['type'] } & Readonly<Record<string, unknown>>;

export function createJsonRenderer(output: Output, executionId: string, queue?: string): Renderer {
  /** Tells executions on several queues apart. */
  const beside = queue === undefined ? {} : { queue };
  const write = (body: LineBody, timestamp: string): Promise<void> => {
    const { type, ...rest } = body;
    return output.stdout.write(
      `${jsonText({ type, timestamp, execution_id: executionId, ...beside, ...rest } satisfies StreamLine)}\n`,
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
          ...(outcome.isCostEstimated ? { is_cost_estimated: true } : {}),
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
      return teamOrApprovalBody({ type, data });
  }
}

function teamOrApprovalBody({ type, data }: Pick<FollowedEvent, 'type' | 'data'>): LineBody | undefined {
  switch (type) {
    case 'member_message_chunk':
    case 'member_message_complete':
    case 'member_thinking_delta':
    case 'member_tool_started':
    case 'member_tool_completed':
      return memberBody({ type, data });
    case 'approval_requested':
    case 'approval_resolved': {
      const { approval_id: id, title, message, expires_at, status, resolved_by, reason } = data;
      const approval = {
        id,
        tool_id: data['tool_execution_id'],
        title,
        message,
        expires_at,
        status,
        resolved_by,
        reason,
      };
      return { type, approval };
    }
    default:
      return undefined;
  }
}

/** The body of the same event of an agent, with whose it is. */
function memberBody({ type, data }: Pick<FollowedEvent, 'type' | 'data'>): LineBody | undefined {
  const isWhole = type === 'member_message_complete';
  const plain = isWhole ? 'message' : type.slice('member_'.length);
  const body = bodyOf({ type: plain, data: isWhole ? { role: 'assistant', ...data } : data, timestamp: '' });
  const member = { name: data['member_name'], parent_message_id: data['parent_message_id'] };
  return body && { ...body, type: `member_${body.type}` as LineBody['type'], member };
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
