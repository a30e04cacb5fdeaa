// The events of one tool call: its start, its live output and its end, bounded and without secrets.
import type { AgentEvent, EventData } from '../../protocol/events.ts';
import type { ToolResult } from '../../protocol/tool.ts';
import type { WorkerDeps } from '../deps.ts';
import type { CallToolInput } from './types.ts';

/** Live output is for watching; the whole (bounded) output comes with tool_completed. */
const liveOutputCharactersMax = 200_000;
/** What an event carries of an output. */
const eventOutputCharactersMax = 10_000;
/** What an event carries of the arguments: a written file would be in it twice. */
const eventArgumentCharactersMax = 20_000;

export interface ToolEventsInput {
  readonly executionId: string;
  readonly turn: number;
  readonly call: Pick<CallToolInput['call'], 'callId' | 'name' | 'arguments'>;
}

/** Of one call; the ids are the same on every attempt. */
export function createToolEvents(input: ToolEventsInput, deps: Pick<WorkerDeps, 'publisher' | 'redactor' | 'clock'>) {
  const { call, executionId } = input;
  const identity = {
    tool_name: call.name,
    tool_execution_id: call.callId,
    message_id: `${executionId}:${input.turn}:model`,
  };
  const live = deps.redactor.createStream();
  let characters = 0;
  let chunks = 0;
  const emit = <Type extends keyof EventData>(suffix: string, type: Type, data: EventData[Type]): void => {
    const timestamp = new Date(deps.clock.now()).toISOString();
    deps.publisher.publish(executionId, {
      event_id: `${call.callId}:${suffix}`,
      event_type: type,
      data,
      timestamp,
    } as AgentEvent);
  };
  return {
    started: (): void =>
      emit('started', 'tool_started', {
        ...identity,
        tool_arguments: argumentsForEvent(deps.redactor.redact(call.arguments)),
      }),
    /** The redacted text that was shown. */
    output: (chunk: string): string => {
      const content = live.push(chunk);
      if (content === '' || characters > liveOutputCharactersMax) return '';
      characters += content.length;
      emit(`output:${chunks++}`, 'tool_output', { tool_execution_id: call.callId, content });
      return content;
    },
    approval: <Type extends 'approval_requested' | 'approval_resolved'>(type: Type, data: EventData[Type]): void =>
      emit(type, type, data),
    /** A limit that cut the call short, which its output may not show. */
    notice: (code: string, message: string): void => emit(code, 'notice', { code, message }),
    completed: (result: ToolResult): void => {
      const isCut = result.output.length > eventOutputCharactersMax || result.originalBytes !== undefined;
      emit('completed', 'tool_completed', {
        ...identity,
        status: result.status === 'success' ? 'success' : 'failed',
        outcome: result.status,
        tool_output: result.output.slice(0, eventOutputCharactersMax).toWellFormed(),
        duration_ms: result.durationMs,
        ...(result.error === undefined ? {} : { tool_error: result.error }),
        ...(isCut ? { truncated: true } : {}),
      });
    },
  };
}

function argumentsForEvent(raw: string): Record<string, unknown> {
  if (raw.length > eventArgumentCharactersMax) {
    return { arguments: `${raw.slice(0, eventArgumentCharactersMax).toWellFormed()}…` };
  }
  try {
    const parsed: unknown = raw.trim() === '' ? {} : JSON.parse(raw);
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : { arguments: raw };
  } catch {
    return { arguments: raw };
  }
}
