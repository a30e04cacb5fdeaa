// What the model is told beside the conversation: the agent's own words, the few facts about its surroundings, how to sum up.
import type { ModelMessage } from '../protocol/model.ts';

export interface PromptParts {
  readonly agentName: string;
  /** The execution's own (`--system-prompt`), else the agent's. */
  readonly prompt: string | undefined;
  readonly hasTools: boolean;
  readonly workingDirectory: string | undefined;
  readonly outputSchema?: Readonly<Record<string, unknown>> | undefined;
}

/** For a call that makes a long conversation shorter. */
export const summaryPrompt =
  'You sum up the conversation between a user and an agent, so that the agent can go on with nothing but your summary.';
export const summaryRequest: ModelMessage = {
  role: 'user',
  content: [
    'Sum up everything above. Do not go on with the task and call no tools. Write down, in this order:',
    '1. what the user wants, in their own words where they matter, with every constraint they gave',
    '2. what has been done and found, with names, paths, numbers and identifiers exactly as they are',
    '3. what did not work, and why',
    '4. what is left to do',
  ].join('\n'),
};

export function systemPromptOf(parts: PromptParts): string {
  const own = parts.prompt?.trim() ?? '';
  const sections = [
    own === '' ? `You are ${parts.agentName}, an agent that completes tasks on behalf of a user.` : own,
  ];
  if (parts.hasTools) sections.push(toolRules(parts.workingDirectory));
  if (parts.outputSchema !== undefined) {
    sections.push(
      `Your last answer must be nothing but one JSON value that matches this JSON Schema:\n${JSON.stringify(parts.outputSchema)}`,
    );
  }
  return sections.join('\n\n');
}

function toolRules(workingDirectory: string | undefined): string {
  const where = workingDirectory === undefined ? 'a directory of your own' : workingDirectory;
  return [
    `Your tools work in ${where}; relative paths start there.`,
    'A call reported as interrupted may or may not have taken effect: look before you repeat it.',
    'When the task is done, answer with what you did and found.',
  ].join('\n');
}
