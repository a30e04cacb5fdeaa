// Remembers which facts of a stream were handed on, because a reconnect to the cloud replays history under new ids.
import type { ServerSentEvent } from './sse.ts';
import type { FollowedEvent } from './stream.ts';

/** A day of streaming tokens; beyond it the oldest are forgotten, and a server would have to replay that far back to repeat one. */
const seenCountMax = 100_000;

export interface SeenSet {
  /** True when this fact came before; remembers it otherwise. */
  has(frame: ServerSentEvent, event: FollowedEvent): boolean;
}

export function createSeenSet(): SeenSet {
  const seen = new Set<string>();
  return {
    has: (frame, event) => {
      const key = keyOf(frame, event);
      if (key === undefined) return false;
      if (seen.has(key)) return true;
      seen.add(key);
      if (seen.size > seenCountMax) for (const oldest of seen) return !seen.delete(oldest);
      return false;
    },
  };
}

/** What names the fact itself comes first; the frame's id only names its place in one server's log. */
function keyOf(frame: ServerSentEvent, { type, data }: FollowedEvent): string | undefined {
  if (typeof data['event_id'] === 'string') return `event:${data['event_id']}`;
  if (type === 'message' && typeof data['message_id'] === 'string') return `message:${data['message_id']}`;
  if ((type === 'tool_started' || type === 'tool_completed') && typeof data['tool_execution_id'] === 'string') {
    return `${type}:${data['tool_execution_id']}`;
  }
  return frame.id === undefined ? undefined : `frame:${frame.id}`;
}
