// Turns a model's deltas into the events of one assistant message, with secrets removed.
import type { AgentEvent, EventData } from '../../protocol/events.ts';
import type { ModelDelta } from '../../protocol/model.ts';
import type { WorkerDeps } from '../deps.ts';

export interface MessageStream {
  push(delta: ModelDelta): void;
  /** The whole text; supersedes the chunks. Nothing is said for an answer without text. */
  complete(content: string): void;
  /** Listeners drop what they have of this message. */
  retry(attempt: number, reason: string, delayMs: number): void;
}

export function createMessageStream(
  executionId: string,
  callId: string,
  attempt: number,
  deps: Pick<WorkerDeps, 'publisher' | 'redactor' | 'clock'>,
): MessageStream {
  const text = deps.redactor.createStream();
  const thinking = deps.redactor.createStream();
  let chunks = 0;
  let isThinking = false;
  const emit = <Type extends keyof EventData>(suffix: string, type: Type, data: EventData[Type]): void => {
    const timestamp = new Date(deps.clock.now()).toISOString();
    deps.publisher.publish(executionId, {
      event_id: `${callId}:${suffix}`,
      event_type: type,
      data,
      timestamp,
    } as AgentEvent);
  };
  const emitText = (content: string): void => {
    if (content === '') return;
    emit(`${attempt}:chunk:${chunks++}`, 'message_chunk', {
      role: 'assistant',
      content,
      is_chunk: true,
      message_id: callId,
    });
  };
  const emitThinking = (content: string): void => {
    if (content === '') return;
    if (!isThinking) emit(`${attempt}:thinking`, 'thinking_start', { message_id: callId, index: 0 });
    isThinking = true;
    emit(`${attempt}:thinking:${chunks++}`, 'thinking_delta', { message_id: callId, index: 0, thinking: content });
  };
  const endThinking = (): void => {
    emitThinking(thinking.flush());
    if (isThinking) emit(`${attempt}:thought`, 'thinking_complete', { message_id: callId, index: 0 });
    isThinking = false;
  };
  return {
    push: (delta) => {
      if (delta.type === 'thinking') {
        emitThinking(thinking.push(delta.text));
        return;
      }
      if (isThinking) endThinking();
      emitText(text.push(delta.text));
    },
    complete: (content) => {
      if (isThinking) endThinking();
      emitText(text.flush());
      if (content === '') return;
      emit('message', 'message', { role: 'assistant', content: deps.redactor.redact(content), message_id: callId });
    },
    retry: (failedAttempt, reason, delayMs) => {
      const data = {
        message_id: callId,
        attempt: failedAttempt,
        reason: deps.redactor.redact(reason),
        delay_ms: delayMs,
      };
      emit(`retry:${failedAttempt}`, 'retry', data);
    },
  };
}
