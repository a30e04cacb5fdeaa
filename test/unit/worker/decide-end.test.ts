// Who decides that a conversation is over where nobody said: the control plane, asked once for each answer.
import { expect, test } from 'bun:test';
import { createDecideEnd } from '../../../src/worker/activities/conversation.ts';

type Given = Parameters<typeof createDecideEnd>;

const decide = (getExecution: () => Promise<{ status: string }>): Promise<'wait' | 'finish'> => {
  const deps = {
    controlPlane: { getExecution },
    clock: { sleep: () => Promise.resolve() },
    log: { debug: () => undefined },
  };
  return createDecideEnd({ isLocal: false } as Given[0], deps as unknown as Given[1])({ executionId: 'e' });
};

test.each([
  ['WAITING_FOR_INPUT', 'wait'],
  ['completed', 'finish'],
  // The prompt is never run again because the status still says running.
  ['running', 'finish'],
] as const)('a control plane that says %s makes it %s', async (status, decision) => {
  expect(await decide(() => Promise.resolve({ status }))).toBe(decision);
});

test('a control plane that does not answer leaves the answer as the end', async () => {
  expect(await decide(() => Promise.reject(new Error('away')))).toBe('finish');
});
