// ScheduledJobWrapperWorkflow: one run of a schedule. Tells the control plane of the execution, runs it as a child, reports how it ended.
import * as workflow from '@temporalio/workflow';
import {
  scheduledJobInputSchema,
  workflowOf,
  type AgentExecutionResult,
  type ExecutionStatus,
  type ScheduledJobInput,
} from '../../protocol/workflow.ts';
import { bookkeeping, fatalFailureOf } from './calls.ts';
import { parseInput } from './input.ts';

export async function ScheduledJobWrapperWorkflow(rawInput: unknown): Promise<AgentExecutionResult> {
  const input = parseInput(scheduledJobInputSchema, rawInput);
  const startedAtMs = Date.now();
  const child = childInput(input, input.execution_id ?? workflow.uuid4());
  const jobId = textOf(input.user_metadata?.['job_id']);
  const report = (status: ExecutionStatus, error?: string): Promise<void> =>
    workflow.CancellationScope.nonCancellable(() =>
      bookkeeping.reportJob({
        executionId: child.execution_id,
        ...(jobId === undefined ? {} : { jobId }),
        status,
        durationMs: Date.now() - startedAtMs,
        ...(error === undefined ? {} : { error }),
      }),
    );
  try {
    await bookkeeping.createJobExecution({
      execution: child,
      ...(jobId === undefined ? {} : { jobId }),
      metadata: { ...input.user_metadata, workflow_id: workflow.workflowInfo().workflowId },
    });
    const result = await runChild(child);
    await report(result.status, result.error);
    return result;
  } catch (error) {
    if (workflow.isCancellation(error)) await report('cancelled');
    else await report(isTerminated(error) ? 'terminated' : 'failed', sentenceOf(error));
    throw error;
  }
}

type ChildInput = ReturnType<typeof childInput>;

function runChild(input: ChildInput): Promise<AgentExecutionResult> {
  const { type, id } = workflowOf(input);
  return workflow.executeChild<(input: ChildInput) => Promise<AgentExecutionResult>>(type, {
    workflowId: id,
    args: [input],
    parentClosePolicy: 'REQUEST_CANCEL',
    cancellationType: workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
    workflowTaskTimeout: workflow.workflowInfo().taskTimeoutMs,
  });
}

function childInput(input: ScheduledJobInput, executionId: string) {
  const { agent_id: agentId, team_id: teamId, agent_config, team_config, ...common } = input;
  // Nobody is there to go on with a conversation.
  const shared = { ...common, is_conversation: common.is_conversation ?? false, execution_id: executionId };
  if (typeof agentId === 'string' && agentId !== '') return { ...shared, agent_id: agentId, agent_config };
  if (typeof teamId === 'string' && teamId !== '') return { ...shared, team_id: teamId, team_config };
  throw workflow.ApplicationFailure.nonRetryable('The job names neither an agent nor a team', 'kubiya.invalid_input');
}

function isTerminated(error: unknown): boolean {
  return error instanceof workflow.ChildWorkflowFailure && error.cause instanceof workflow.TerminatedFailure;
}

/** What a person is told of a failure that is not the agent's own. */
function sentenceOf(error: unknown): string {
  const fatal = fatalFailureOf(error);
  if (fatal !== undefined) return fatal.message;
  const cause = error instanceof workflow.ChildWorkflowFailure ? error.cause : error;
  return cause instanceof Error ? cause.message : 'The run failed';
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
