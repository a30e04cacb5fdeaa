// The tools of a team's leader: they hand tasks to members, whose work the workflow carries out.
import * as v from 'valibot';
import delegateToMemberText from './delegate-task-to-member.txt' with { type: 'text' };
import delegateToMembersText from './delegate-task-to-members.txt' with { type: 'text' };
import { definePlannedTool, type Tool } from './tool.ts';

export interface Teammate {
  readonly id: string;
  readonly name: string;
}

/** A longer task belongs in a file of the workspace; with the expected output it stays far below one payload of Temporal. */
const taskCharactersMax = 100_000;
const expectedCharactersMax = 20_000;

const task = v.pipe(v.string(), v.regex(/\S/, 'it is empty'), v.maxLength(taskCharactersMax));
const expected = v.optional(
  v.pipe(v.string(), v.maxLength(expectedCharactersMax), v.description('What the answer must contain')),
);

/** Calls in one answer run side by side; the workflow starts each member's part once. */
const common = { effect: 'read_only', usualTimeMs: 0 } as const;

export function createTeamTools(members: readonly Teammate[]): readonly Tool[] {
  if (members.length === 0) return [];
  return [
    definePlannedTool({
      ...common,
      name: 'delegate_task_to_member',
      description: delegateToMemberText,
      input: v.strictObject({
        member_id: v.pipe(v.string(), v.trim(), v.minLength(1), v.description('Id or name of the member')),
        task_description: task,
        expected_output: expected,
      }),
      plan: ({ member_id: named, task_description: words, expected_output: wanted }) => {
        const member = memberNamed(members, named);
        if (member !== undefined) {
          return { ok: true, value: { type: 'member', memberIds: [member.id], task: taskOf(words, wanted) } };
        }
        const names = members.map(({ id, name }) => `${name} (${id})`).join(', ');
        return { ok: false, problem: `The team has no member ${named}: its members are ${names}` };
      },
    }),
    definePlannedTool({
      ...common,
      name: 'delegate_task_to_members',
      description: delegateToMembersText,
      input: v.strictObject({ task_description: task, expected_output: expected }),
      plan: ({ task_description: words, expected_output: wanted }) => ({
        ok: true,
        value: { type: 'member', memberIds: members.map(({ id }) => id), task: taskOf(words, wanted) },
      }),
    }),
  ];
}

function taskOf(words: string, expectedOutput: string | undefined): string {
  return expectedOutput === undefined || expectedOutput.trim() === ''
    ? words
    : `${words}\n\nExpected output:\n${expectedOutput}`;
}

/** By its id, else by its name in any case. */
function memberNamed(members: readonly Teammate[], named: string): Teammate | undefined {
  return (
    members.find(({ id }) => id === named) ?? members.find(({ name }) => name.toLowerCase() === named.toLowerCase())
  );
}
