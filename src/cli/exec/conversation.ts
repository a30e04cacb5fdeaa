// The next message of a conversation, asked of the person at this terminal.
import { asked } from '../asked.ts';
import type { Output } from '../output.ts';

/** `done`: the person has nothing more to say. `left`: they pressed Ctrl+C. */
export type NextMessage = 'done' | 'left' | { readonly message: string };

export async function askNextMessage(questions: Output['questions'], signal: AbortSignal): Promise<NextMessage> {
  const { text } = await import('@clack/prompts');
  const prompt = text({ output: questions, message: 'Next message (an empty one ends the conversation)', signal });
  const answer = await asked(prompt, signal);
  if (answer === undefined) return 'left';
  const message = answer.trim();
  return message === '' ? 'done' : { message };
}
