// What an execution takes over from another one's conversation, and how messages look at the control plane.
import * as v from 'valibot';
import { shrink, transcriptBytes } from '../../agent/compaction.ts';
import { messageOf } from '../../errors.ts';
import type { SessionMessage } from '../../protocol/control-plane.ts';
import { type ModelMessage, modelMessageSchema } from '../../protocol/model.ts';
import type { ExecutionStatus } from '../../protocol/workflow.ts';
import type { Session, WorkerDeps } from '../deps.ts';
import { askOf, onceOnly } from './approvals.ts';
import type { AgentActivities } from './types.ts';

/** Half of a transcript's budget: the new execution needs room for its own turns. */
const historyBytesMax = 200_000;
/** Where our own messages keep the form that the model saw. */
const canonicalKey = 'kubiya_message';
/** The cloud decides after its analytics, about two seconds after the answer. */
const decisionDelayMs = 2_000;

export function createDecideEnd(
  session: Session,
  { controlPlane, clock, log }: WorkerDeps,
): AgentActivities['decideEnd'] {
  return async ({ executionId }) => {
    if (!session.isLocal) await clock.sleep(decisionDelayMs);
    try {
      const { status } = await controlPlane.getExecution(executionId, onceOnly);
      // Whatever else it says, `running` above all: the answer stands, and the prompt is never run again.
      return status.toLowerCase() === ('waiting_for_input' satisfies ExecutionStatus) ? 'wait' : 'finish';
    } catch (error) {
      log.debug('The control plane does not say whether the conversation goes on', {
        execution: executionId,
        reason: messageOf(error),
      });
      return 'finish';
    }
  };
}

export async function historyOf(
  input: { readonly parent_execution_id?: string | null | undefined },
  deps: Pick<WorkerDeps, 'controlPlane'>,
): Promise<readonly ModelMessage[] | undefined> {
  const parent = input.parent_execution_id;
  if (parent === undefined || parent === null || parent === '') return undefined;
  return readHistory(parent, deps);
}

/** The conversation of an execution as this one's model shall see it; undefined when there is none. */
async function readHistory(
  executionId: string,
  { controlPlane }: Pick<WorkerDeps, 'controlPlane'>,
): Promise<readonly ModelMessage[] | undefined> {
  const answer = await askOf(() => controlPlane.getSession(executionId));
  if (!answer.ok) return undefined;
  const messages = validTranscript(answer.value.messages.flatMap((message) => modelMessageOf(message) ?? []));
  return transcriptBytes(messages) > historyBytesMax ? shrink(messages, historyBytesMax) : messages;
}

export function sessionMessageOf(
  message: ModelMessage,
  messageId: string,
  redact: (text: string) => string,
): SessionMessage {
  const content = redact(message.content);
  const base = { role: message.role, content, message_id: messageId };
  if (message.role === 'user') return base;
  // Content is already there, and thinking is for the turn that it belongs to; the rest is what other readers have no place for.
  const { content: _content, thinking: _thinking, ...form } = { thinking: undefined, ...message };
  const canonical: unknown = JSON.parse(redact(JSON.stringify(form)));
  const metadata = { [canonicalKey]: canonical };
  if (message.role === 'assistant') return message.toolCalls.length === 0 ? base : { ...base, metadata };
  return {
    ...base,
    tool_name: message.name,
    tool_execution_id: message.toolCallId,
    tool_status: message.isError ? 'failed' : 'success',
    metadata,
  };
}

/** Ours comes back as it was; of another control plane's messages only what people and the model said. */
function modelMessageOf(message: SessionMessage): ModelMessage | undefined {
  const content = textOf(message.content);
  const metadata = message['metadata'];
  const canonical: unknown =
    typeof metadata === 'object' && metadata !== null && canonicalKey in metadata ? metadata[canonicalKey] : undefined;
  if (typeof canonical === 'object' && canonical !== null) {
    const parsed = v.safeParse(modelMessageSchema, { ...canonical, content });
    if (parsed.success) return parsed.output;
  }
  if (content.trim() === '') return undefined;
  if (message.role === 'user') return { role: 'user', content };
  if (message.role === 'assistant') return { role: 'assistant', content, toolCalls: [] };
  return undefined;
}

/** Providers refuse a call without its result, a result without its call, and a transcript that begins with an answer. */
function validTranscript(messages: readonly ModelMessage[]): readonly ModelMessage[] {
  const valid: ModelMessage[] = [];
  for (let index = 0; index < messages.length; index++) {
    const message = messages[index];
    if (message === undefined || message.role === 'tool') continue;
    if (message.role === 'user' || message.toolCalls.length === 0) {
      valid.push(message);
      continue;
    }
    const results = resultsAfter(messages, index, message.toolCalls.length);
    const isWhole = message.toolCalls.every((call) => results.some((result) => result.toolCallId === call.id));
    if (isWhole) valid.push(message, ...results);
    else if (message.content.trim() !== '') valid.push({ ...message, toolCalls: [] });
  }
  const firstUser = valid.findIndex(({ role }) => role === 'user');
  return firstUser < 0 ? [] : valid.slice(firstUser);
}

function resultsAfter(
  messages: readonly ModelMessage[],
  index: number,
  count: number,
): Extract<ModelMessage, { role: 'tool' }>[] {
  return messages.slice(index + 1, index + 1 + count).flatMap((message) => (message.role === 'tool' ? [message] : []));
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content
    .flatMap((part: unknown) =>
      typeof part === 'object' && part !== null && 'text' in part && typeof part.text === 'string' ? [part.text] : [],
    )
    .join('\n');
}
