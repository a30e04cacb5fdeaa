// Asks before something that cannot be undone; where nobody can be asked it is refused.
import { usage } from './flags.ts';
import type { Output } from './output.ts';

/** True when it may be done. `doing` begins the refusal: "terminating an execution". */
export async function mayDo(
  output: Output,
  { doing, question, isYes }: { readonly doing: string; readonly question: string; readonly isYes: boolean },
): Promise<boolean> {
  if (isYes) return true;
  if (!output.isInteractive) throw usage(`${doing} needs a confirmation`, 'confirmation_required', 'add --yes');
  const { confirm, isCancel } = await import('@clack/prompts');
  const answer = await confirm({ output: output.questions, message: question, initialValue: false });
  return !isCancel(answer) && answer;
}
