// What a planner wants to know before anybody starts: asked on a terminal, said elsewhere.
import { KubiyaError } from '../../errors.ts';
import type { Plan, PlanQuestion, PlanRequest } from '../../protocol/planner.ts';
import { asked } from '../asked.ts';
import type { Output } from '../output.ts';

/** More of them are an interview. */
const questionsMax = 5;

export interface PlanAnswers {
  /** For the planner, which plans again. */
  readonly refinement: Pick<PlanRequest, 'conversation_context' | 'previous_plan' | 'iteration'>;
  /** For the agent, behind the prompt. */
  readonly text: string;
}

/** Undefined when there was nothing to ask, or nothing was answered. Throws at Ctrl+C. */
export async function askQuestions(
  plan: Plan,
  { output, mayAsk, signal }: { readonly output: Output; readonly mayAsk: boolean; readonly signal: AbortSignal },
): Promise<PlanAnswers | undefined> {
  const questions = (plan.questions ?? []).slice(0, questionsMax).map((question) => wordsOf(question, output));
  if (questions.length === 0) return undefined;
  if (!mayAsk) {
    for (const question of questions) await output.note(`the planner would like to know: ${question}`);
    return undefined;
  }
  const { text } = await import('@clack/prompts');
  const answered: string[] = [];
  for (const message of questions) {
    const prompt = text({ output: output.questions, message, placeholder: 'Enter leaves it open', signal });
    const answer = await asked(prompt, signal);
    if (answer === undefined)
      throw new KubiyaError('nothing was started', { kind: 'interrupted', code: 'interrupted' });
    if (answer.trim() !== '') answered.push(`Question: ${message}\nAnswer: ${answer.trim()}`);
  }
  if (answered.length === 0) return undefined;
  const said = answered.join('\n');
  return { refinement: { conversation_context: said, previous_plan: plan, iteration: 2 }, text: said };
}

function wordsOf(question: PlanQuestion, output: Output): string {
  const { stderr } = output;
  if (typeof question === 'string') return stderr.foreign(question);
  const options = question.options ?? [];
  return stderr.foreign(options.length === 0 ? question.question : `${question.question} (${options.join(', ')})`);
}
