// A turn of the runtime claude_code: goes as a call with side effects to the worker that holds the workspace, and is taken up again.
import type { ModelFact } from '../../agent/state.ts';
import type { CallModelInput, CallToolInput, ToolFact } from '../activities/types.ts';

/** Workers lost within one turn; more than these are no accident. */
const resumesMax = 5;

/** Not a name that a model can call: it stands for the program itself. */
export const claudeCodeCallName = 'claude_code';

export async function claudeCodeTurn(
  { executionId, callId, turn, messages, purpose }: CallModelInput,
  send: (call: Omit<CallToolInput, 'prepared'>) => Promise<ToolFact>,
): Promise<ModelFact> {
  if (purpose === 'summary') return failure('The program keeps its own conversation');
  for (let resumes = 0; resumes <= resumesMax; resumes += 1) {
    const id = resumes === 0 ? callId : `${callId}:resumed:${resumes}`;
    const { answer } = await send({
      executionId,
      turn,
      call: {
        callId: id,
        toolCallId: id,
        name: claudeCodeCallName,
        arguments: JSON.stringify({ messages, isResumed: resumes > 0 }),
        effect: 'side_effecting',
      },
    });
    if (answer !== undefined) return answer;
  }
  return failure('The worker stopped again and again while claude worked');
}

function failure(message: string): ModelFact {
  return { type: 'failure', failure: { kind: 'invalid_request', message } };
}
