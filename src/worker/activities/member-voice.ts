// How the work of a team's members is told: as events of the team's execution, which alone the control plane knows.
import type { Membership } from '../../agent/state.ts';
import type { Publisher } from '../../controlplane/publisher.ts';
import type { AgentEvent } from '../../protocol/events.ts';
import { ownerExecutionId } from '../../protocol/workflow.ts';
import type { WorkerDeps } from '../deps.ts';

export interface MemberVoice {
  readonly deps: WorkerDeps;
  /** Before an activity of this execution says anything. */
  readonly introduce: (executionId: string, membership: Membership | undefined) => void;
  readonly forget: (executionId: string) => void;
}

/** Far more parts than a worker has open; one whose end came to another worker is the oldest some day. */
const membershipsMax = 1_000;

/** Everything that a member's activities publish or record through `deps` is the team's. */
export function createMemberVoice(deps: WorkerDeps): MemberVoice {
  const memberships = new Map<string, Membership>();
  const { publisher, meter } = deps;
  const isMember = (executionId: string): boolean => ownerExecutionId(executionId) !== executionId;
  const own: Publisher = {
    publish: (executionId, event) => {
      const said = isMember(executionId) ? memberEvent(event, memberships.get(executionId)) : event;
      if (said !== undefined) publisher.publish(ownerExecutionId(executionId), said);
    },
    // The leader tells how the team stands, and the conversation is its own.
    update: (executionId, update) => {
      if (!isMember(executionId)) publisher.update(executionId, update);
    },
    saveSession: (executionId, session) => {
      if (!isMember(executionId)) publisher.saveSession(executionId, session);
    },
    flush: (executionId, limitMs) => publisher.flush(ownerExecutionId(executionId), limitMs),
    stop: (limitMs) => publisher.stop(limitMs),
    counters: publisher.counters,
  };
  return {
    deps: {
      ...deps,
      publisher: own,
      meter: { record: (fact) => meter.record({ ...fact, executionId: ownerExecutionId(fact.executionId) }) },
    },
    introduce: (executionId, membership) => {
      if (membership === undefined) return;
      memberships.set(executionId, membership);
      const [oldest] = memberships.keys();
      if (memberships.size > membershipsMax && oldest !== undefined) memberships.delete(oldest);
    },
    forget: (executionId) => void memberships.delete(executionId),
  };
}

/** What the team's listeners are told; undefined for what is the leader's to say. */
function memberEvent(event: AgentEvent, membership: Membership | undefined): AgentEvent | undefined {
  const of = {
    member_name: membership?.memberName ?? '',
    parent_message_id: membership?.parentMessageId ?? '',
  };
  switch (event.event_type) {
    case 'message_chunk':
      return { ...event, event_type: 'member_message_chunk', data: { ...event.data, ...of } };
    case 'message': {
      const { role, message_id, content } = event.data;
      // Its task is an argument of the leader's call.
      if (role !== 'assistant') return undefined;
      return { ...event, event_type: 'member_message_complete', data: { message_id, content, ...of } };
    }
    case 'thinking_start':
      return { ...event, event_type: 'member_thinking_start', data: { ...event.data, ...of } };
    case 'thinking_delta':
      return { ...event, event_type: 'member_thinking_delta', data: { ...event.data, ...of } };
    case 'thinking_complete':
      return { ...event, event_type: 'member_thinking_complete', data: { ...event.data, ...of } };
    case 'tool_started':
      return { ...event, event_type: 'member_tool_started', data: { ...event.data, ...of } };
    case 'tool_completed':
      return { ...event, event_type: 'member_tool_completed', data: { ...event.data, ...of } };
    case 'run_started':
    case 'status':
    case 'metadata':
    case 'error':
    case 'done':
      return undefined;
    default:
      return event;
  }
}
