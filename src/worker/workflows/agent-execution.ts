// AgentExecutionWorkflow: runs one agent to its end, also as a member's part of a team's execution.
import { membershipOf } from '../../agent/team.ts';
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
      ...(input.member ? { membership: membershipOf(input.execution_id, input.member) } : {}),
    },
    carried,
  );
  run.listen();
  return run.walk();
}
