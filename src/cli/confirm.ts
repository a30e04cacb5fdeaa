// Asks before something that cannot be undone; where nobody can be asked it is refused.
import { KubiyaError } from '../errors.ts';
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
}

/** True when it may be done. Throws where nobody can be asked, and at Ctrl+C. */
export async function mayDo(output: Output, { doing, question, isYes, mayAsk = true }: Confirmation): Promise<boolean> {
  if (isYes) return true;
  if (!output.isInteractive || !mayAsk)
    throw usage(`${doing} needs a confirmation`, 'confirmation_required', 'add --yes');
  const { confirm, isCancel } = await import('@clack/prompts');
  const answer = await confirm({ output: output.questions, message: question, initialValue: false });
  if (isCancel(answer)) throw new KubiyaError('nothing was done', { kind: 'interrupted', code: 'interrupted' });
  return answer;
}
