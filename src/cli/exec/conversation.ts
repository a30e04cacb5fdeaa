// The next message of a conversation, asked of the person at this terminal.
import type { Output } from '../output.ts';

/** `done`: the person has nothing more to say. `left`: they pressed Ctrl+C. */
export type NextMessage = 'done' | 'left' | { readonly message: string };

export async function askNextMessage(questions: Output['questions']): Promise<NextMessage> {
  const { isCancel, text } = await import('@clack/prompts');
  const answer = await text({ output: questions, message: 'Next message (an empty one ends the conversation)' });
  if (isCancel(answer)) return 'left';
  const message = (answer ?? '').trim();
  return message === '' ? 'done' : { message };
}
