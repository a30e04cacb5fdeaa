// AgentExecutionWorkflow: runs one agent to its end.
import { agentExecutionInputSchema, agentWorkflowType, type AgentExecutionResult } from '../../protocol/workflow.ts';
import { bookkeeping } from './calls.ts';
import { type Carried, ExecutionRun } from './execution-run.ts';
import { parseInput } from './input.ts';

/** `carried` is ours alone: it comes from continue-as-new. */
export async function AgentExecutionWorkflow(rawInput: unknown, carried?: Carried): Promise<AgentExecutionResult> {
  const input = parseInput(agentExecutionInputSchema, rawInput);
  const run = new ExecutionRun(
    {
      workflowType: agentWorkflowType,
      entityKind: 'agent',
      entityId: input.agent_id,
      input,
      prepare: () => bookkeeping.prepare(input),
    },
    carried,
  );
  run.listen();
  return run.walk();
}
