// What both dialects need of a transcript: that it is one a provider accepts, and arguments and ids in the form it accepts.
import type { ModelMessage } from '../protocol/model.ts';
import { isJsonObject, parseJson, type JsonObject } from './json.ts';

/** Throws when a tool call is not followed at once by its results: the agent guarantees it, so that is our bug. */
export function assertValidTranscript(messages: readonly ModelMessage[]): void {
  const open = new Set<string>();
  for (const [index, message] of messages.entries()) {
    if (message.role === 'tool') {
      if (!open.delete(message.toolCallId)) throw new Error(`Message ${index} answers a tool call that is not open`);
      continue;
    }
    if (open.size > 0) throw new Error(`Message ${index} comes before the results of the tool calls ahead of it`);
    if (message.role === 'assistant') for (const call of message.toolCalls) open.add(call.id);
  }
  if (open.size > 0) throw new Error('The transcript ends before the results of its last tool calls');
}

/**
 * Arguments as the object that goes back to the provider. Text that is no JSON object is wrapped: providers refuse a
 * transcript with malformed arguments, and the model still sees what it wrote.
 */
export function argumentsObject(text: string): JsonObject {
  if (text.trim() === '') return {};
  const parsed = parseJson(text);
  return isJsonObject(parsed) ? parsed : { unparsable_arguments: text };
}

/**
 * Ids for the calls of one answer: the server's own where it gave one that is new, else one that follows from the position
 * in the transcript, so that it is the same whenever the same answer is read.
 */
export function createCallIds(messages: readonly ModelMessage[]): (given: string | undefined) => string {
  const used = new Set(
    messages.flatMap((message) => (message.role === 'assistant' ? message.toolCalls.map((call) => call.id) : [])),
  );
  let count = 0;
  return (given) => {
    const isNew = given !== undefined && given !== '' && !used.has(given);
    const id = isNew ? given : `call_${messages.length}_${count}`;
    count += 1;
    used.add(id);
    return id;
  };
}
