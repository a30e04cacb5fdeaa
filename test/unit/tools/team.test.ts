// The leader's tools: what they make of a model's arguments, and what they refuse.
import { expect, test } from 'bun:test';
import { createTeamTools } from '../../../src/tools/team.ts';

const tools = createTeamTools([
  { id: 'a-1', name: 'Ada' },
  { id: 'b-2', name: 'Bob' },
]);
const [one, all] = tools as [(typeof tools)[number], (typeof tools)[number]];

test('an agent without members has no such tools', () => {
  expect(createTeamTools([])).toEqual([]);
});

test('a member is named by its id, or by its name in any case', () => {
  for (const named of ['a-1', 'Ada', ' ada ']) {
    const words = JSON.stringify({ member_id: named, task_description: 'do it' });
    expect(one.plan?.(words)).toEqual({ type: 'member', memberIds: ['a-1'], task: 'do it' });
    expect(one.effect(words)).toBe('read_only');
  }
});

test('the expected output is part of the task', () => {
  const words = { task_description: 'do it', expected_output: 'a table' };
  expect(all.plan?.(JSON.stringify(words))).toEqual({
    type: 'member',
    memberIds: ['a-1', 'b-2'],
    task: 'do it\n\nExpected output:\na table',
  });
  expect(all.plan?.(JSON.stringify({ ...words, expected_output: ' ' }))).toMatchObject({ task: 'do it' });
});

test.each([
  ['{"member_id":"Zoe","task_description":"x"}'],
  ['{"member_id":"","task_description":"x"}'],
  ['{"member_id":"Ada","task_description":"  "}'],
  ['{"member_id":"Ada"}'],
  [`{"member_id":"Ada","task_description":"${'x'.repeat(100_001)}"}`],
  ['{"member_id":["Ada"],"task_description":"x"}'],
  ['{"member_id":"Ada","task_description":"x","member":"Bob"}'],
  ['not JSON'],
  [''],
])('arguments without a plan: %s', (words) => {
  expect(one.plan?.(words)).toBeUndefined();
});
