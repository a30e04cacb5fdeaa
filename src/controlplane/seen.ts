// Remembers which facts of a stream were handed on, because a reconnect to the cloud replays history under new ids.
import { createHash } from 'node:crypto';
import type { FollowedEvent } from './followed-event.ts';
import type { ServerSentEvent } from '../lib/sse.ts';

/** Hours of streaming tokens; beyond it the oldest are forgotten, and a server would have to replay that far back to repeat one. */
const seenCountMax = 100_000;

export interface SeenSet {
  /** True when this fact came before; remembers it otherwise. */
  has(frame: ServerSentEvent, event: FollowedEvent, isReconnected: boolean): boolean;
}

export function createSeenSet(): SeenSet {
  const seen = new Set<string>();
  const isNew = (key: string): boolean => {
    if (seen.has(key)) return false;
    seen.add(key);
    if (seen.size > seenCountMax) {
      const [oldest] = seen;
      if (oldest !== undefined) seen.delete(oldest);
    }
    return true;
  };
  return {
    has: (frame, event, isReconnected) => {
      const name = nameOf(event);
      if (name !== undefined) return !isNew(name);
      // Without a name the text of the frame, timestamp included, is the fact; but only a replay makes equal texts one fact.
      const isNewFrame = frame.id === undefined || isNew(`frame:${frame.id}`);
      const isNewText = isNew(`text:${createHash('sha1').update(frame.event).update(frame.data).digest('base64')}`);
      return !isNewFrame || (isReconnected && !isNewText);
    },
  };
}

/** What names the fact itself; the frame's id only names its place in one server's log. */
function nameOf({ type, data }: FollowedEvent): string | undefined {
  if (typeof data['event_id'] === 'string') return `event:${data['event_id']}`;
  if (type === 'message' && typeof data['message_id'] === 'string') return `message:${data['message_id']}`;
  if ((type === 'tool_started' || type === 'tool_completed') && typeof data['tool_execution_id'] === 'string') {
    return `${type}:${data['tool_execution_id']}`;
  }
  return undefined;
}
