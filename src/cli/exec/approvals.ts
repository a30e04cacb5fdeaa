// An approval that an execution waits for: a person at this terminal is asked, everybody else is told the command.
import type { ControlPlaneClient } from '../../controlplane/client.ts';
import type { FollowedEvent } from '../../controlplane/followed-event.ts';
import { KubiyaError } from '../../errors.ts';
import { asked } from '../asked.ts';
import type { Output } from '../output.ts';
import type { Lookahead } from './lookahead.ts';

export interface ApprovalQuestion {
  readonly client: Pick<ControlPlaneClient, 'approve' | 'reject'>;
  readonly executionId: string;
  /** Undefined where nobody can be asked. */
  readonly questions: Output['questions'] | undefined;
  /** Aborts when the question has no sense any more. */
  readonly unasked: AbortSignal;
}

/** What came of it here; `left` means that the person pressed Ctrl+C. */
export type ApprovalAnswer = 'sent' | 'settled_elsewhere' | 'left' | { readonly notice: string };

/** The request itself is on the screen already. Never throws for a control plane that refuses the answer. */
export async function answerApproval(
  { client, executionId, questions, unasked }: ApprovalQuestion,
  event: FollowedEvent,
  events: Pick<Lookahead<FollowedEvent, unknown>, 'watch'>,
): Promise<ApprovalAnswer> {
  const id = typeof event.data['approval_id'] === 'string' ? event.data['approval_id'] : '';
  const command = `\`kubiya execution approve ${executionId}\` or \`kubiya execution deny ${executionId}\` answers it`;
  if (questions === undefined || id === '') return { notice: command };
  const { confirm } = await import('@clack/prompts');
  const settled = new AbortController();
  const done = new AbortController();
  const watching = events
    .watch(({ type, data }) => type === 'approval_resolved' && data['approval_id'] === id, done.signal)
    .then(() => settled.abort());
  const signal = AbortSignal.any([settled.signal, unasked]);
  const question = { output: questions, message: 'Approve it?', initialValue: false, signal };
  const answer = await asked(confirm(question), signal);
  const isSettled = settled.signal.aborted || unasked.aborted;
  done.abort();
  await watching;
  if (isSettled) return 'settled_elsewhere';
  if (answer === undefined) return 'left';
  try {
    await (answer ? client.approve(id, {}) : client.reject(id, {}));
    return 'sent';
  } catch (error) {
    if (!(error instanceof KubiyaError)) throw error;
    return { notice: `the answer was not taken: ${error.message}; ${command}` };
  }
}
