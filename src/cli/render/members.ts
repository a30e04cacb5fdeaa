// What the members of a team do, each under its name: their events are those of an agent with another beginning.
import type { FollowedEvent } from '../../controlplane/followed-event.ts';
import type { Output } from '../output.ts';
import { type PrefixedOutput, prefixedOutput } from './prefixed.ts';
import type { Renderer } from './renderer.ts';
import type { TextOptions } from './text.ts';

type Event = Pick<FollowedEvent, 'type' | 'data'>;

export interface Members {
  event(event: Event): Promise<void>;
}

interface Member {
  readonly renderer: Renderer;
  readonly output: PrefixedOutput;
}

/** After these a member has nothing on an unfinished line. */
const closing = new Set(['member_message_complete', 'member_thinking_complete', 'member_tool_completed']);

export function createMembers(
  output: Output,
  options: TextOptions,
  createRenderer: (output: Output, options: TextOptions) => Renderer,
): Members {
  const members = new Map<string, Member>();
  const memberOf = (name: string): Member => {
    let member = members.get(name);
    if (member === undefined) {
      // The answer of a member is a step on the way to the team's.
      const own = prefixedOutput(output, name, { isAside: true });
      member = { output: own, renderer: createRenderer(own, { ...options, isAnswerJson: false }) };
      members.set(name, member);
    }
    return member;
  };
  return {
    event: async ({ type, data }) => {
      if (type.startsWith('member_thinking') && !options.isVerbose) return;
      const name = data['member_name'];
      const member = memberOf(typeof name === 'string' ? name : 'member');
      await member.renderer.event({ ...ofAgent(type, data), timestamp: '' });
      if (!closing.has(type)) return;
      await member.renderer.pause();
      await member.output.end();
    },
  };
}

function ofAgent(type: string, data: Event['data']): Event {
  if (type === 'member_message_complete') return { type: 'message', data: { role: 'assistant', ...data } };
  return { type: type.slice('member_'.length), data };
}
