// The system prompt of an execution: the agent's own words and the few facts about its surroundings.

export interface PromptParts {
  readonly agentName: string;
  /** The execution's own (`--system-prompt`), else the agent's. */
  readonly prompt: string | undefined;
  readonly hasTools: boolean;
  readonly workingDirectory: string | undefined;
}

export function systemPromptOf(parts: PromptParts): string {
  const own = parts.prompt?.trim() ?? '';
  const sections = [
    own === '' ? `You are ${parts.agentName}, an agent that completes tasks on behalf of a user.` : own,
  ];
  if (parts.hasTools) sections.push(toolRules(parts.workingDirectory));
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
