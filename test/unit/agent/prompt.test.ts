// The system prompt: the words that were given, once, and the facts a tool user needs.
import { expect, test } from 'bun:test';
import { systemPromptOf } from '../../../src/agent/prompt.ts';

const parts = { agentName: 'default', prompt: undefined, hasTools: false, workingDirectory: undefined };

test('an agent without words of its own is introduced by its name', () => {
  expect(systemPromptOf(parts)).toBe('You are default, an agent that completes tasks on behalf of a user.');
});

test('given words stand alone and once', () => {
  expect(systemPromptOf({ ...parts, prompt: '  Answer in French.\n' })).toBe('Answer in French.');
});

test('tools come with where they work and what interrupted means', () => {
  const prompt = systemPromptOf({ ...parts, hasTools: true, workingDirectory: '/srv/app' });
  expect(prompt).toContain('work in /srv/app;');
  expect(prompt).toContain('interrupted');
});
