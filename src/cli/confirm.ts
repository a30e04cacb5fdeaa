// Asks before something that cannot be undone; where nobody can be asked it is refused.
import { KubiyaError } from '../errors.ts';
import { asked } from './asked.ts';
import { usage } from './flags.ts';
import type { Output } from './output.ts';

export interface Confirmation {
  /** Begins the refusal: "terminating an execution". */
  readonly doing: string;
  readonly question: string;
  /** `--yes` was given. */
  readonly isYes: boolean;
  /** False where the user does not want to be asked. */
  readonly mayAsk?: boolean;
  /** Aborts when nobody is there any more: the same as Ctrl+C. */
  readonly signal?: AbortSignal;
}

/** True when it may be done. Throws where nobody can be asked, and at Ctrl+C. */
export async function mayDo(output: Output, confirmation: Confirmation): Promise<boolean> {
  const { doing, question, isYes, mayAsk = true, signal } = confirmation;
  if (isYes) return true;
  if (!output.isInteractive || !mayAsk)
    throw usage(`${doing} needs a confirmation`, 'confirmation_required', 'add --yes');
  const { confirm } = await import('@clack/prompts');
  const prompt = confirm({
    output: output.questions,
    message: question,
    initialValue: false,
    ...(signal === undefined ? {} : { signal }),
  });
  const answer = await asked(prompt, signal);
  if (answer === undefined) throw new KubiyaError('nothing was done', { kind: 'interrupted', code: 'interrupted' });
  return answer;
}
